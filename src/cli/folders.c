#include "cli/folders.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

pl_status folders_make(char *path, mode_t mode, pl_err *err)
{
    for (char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash) *slash = 0;
        const bool is_made = mkdir(path, mode) == 0 || errno == EEXIST || errno == EISDIR;
        const int why = errno;
        if (slash && (is_made || why == EROFS || why == EACCES)) {      /* may be there already */
            *slash = '/';
            continue;
        }
        if (!is_made)
            return pl_fail(err, PL_E_IO, "%s: cannot make this folder: %s", path, strerror(why));
        if (!slash) return PL_OK;
    }
}

bool folders_cache(char *to, size_t capacity)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = -1;
    if (cache && *cache == '/') n = snprintf(to, capacity, "%s/paceline", cache);
    else if (home && *home == '/') n = snprintf(to, capacity, "%s/.cache/paceline", home);
    return n >= 0 && (size_t)n < capacity;
}
