#include "cli/serve/open_files.h"

#include <stdio.h>
#include <sys/resource.h>

/* Of the model, logs, pipes, sockets that linger, connections that are refused. */
enum { OTHER_FILES = 96, LEAST_CONNECTIONS = 8, MAC_OPEN_MAX = 10240 };

/* macOS says "infinite" and takes no more than OPEN_MAX. */
static rlim_t raised_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files)) return RLIM_INFINITY;
    const rlim_t had = files.rlim_cur;
    if (had == files.rlim_max) return had;
    files.rlim_cur = files.rlim_max;
    if (!setrlimit(RLIMIT_NOFILE, &files)) return files.rlim_cur;
    files.rlim_cur = MAC_OPEN_MAX < files.rlim_max ? MAC_OPEN_MAX : files.rlim_max;
    return had < files.rlim_cur && !setrlimit(RLIMIT_NOFILE, &files) ? files.rlim_cur : had;
}

uint32_t open_files_for(uint32_t wanted)
{
    const rlim_t limit = raised_limit();
    if (limit == RLIM_INFINITY || limit >= (rlim_t)wanted + OTHER_FILES) return wanted;
    const uint32_t n = limit >= OTHER_FILES + LEAST_CONNECTIONS ? (uint32_t)(limit - OTHER_FILES)
                                                                : LEAST_CONNECTIONS;
    fprintf(stderr, "warning: %llu open files are allowed (ulimit -n): %u connections, not the %u "
            "of --max-connections\n", (unsigned long long)limit, n < wanted ? n : wanted, wanted);
    return n < wanted ? n : wanted;
}
