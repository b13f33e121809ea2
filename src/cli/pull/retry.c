/* Patience, and room on the disk. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "cli/pull/fetch.h"

enum { MAX_DELAY_S = 60, MAX_RETRY_AFTER_S = 600 };

static void sleep_s(double s)
{
    struct timespec left = { .tv_sec = (time_t)s, .tv_nsec = (long)((s - floor(s)) * 1e9) };
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {}
}

bool fetch_wait(const struct fetch_policy *policy, struct progress *progress,
                const struct http_reply *reply, uint32_t *n_tried, const pl_err *err)
{
    if (*n_tried >= policy->max_retries) return false;
    double delay_s = fmin(policy->retry_delay_s * pow(2, *n_tried), MAX_DELAY_S);
    if (reply->retry_after_s > MAX_RETRY_AFTER_S) {
        progress_say(progress, "the server asks to come back in %" PRIu64 " s",
                     reply->retry_after_s);
        return false;
    }
    if (reply->retry_after_s > delay_s) delay_s = (double)reply->retry_after_s;
    ++*n_tried;
    progress_say(progress, "%s; try %u of %u in %.3g s", err->text, *n_tried, policy->max_retries,
                 delay_s);
    sleep_s(delay_s);
    return true;
}

uint64_t fetch_have_bytes(int folder, const char *name)
{
    char part[NOTE_NAME_MAX];
    struct stat info;
    snprintf(part, sizeof part, "%.240s.part", name);
    return fstatat(folder, part, &info, AT_SYMLINK_NOFOLLOW) == 0 ? (uint64_t)info.st_size : 0;
}

/* A write beyond the process's limit would come with a signal that ends it. */
pl_status fetch_check_limit(uint64_t n_bytes, const char *what, pl_err *err)
{
    struct rlimit limit;
    char wanted[16], allowed[16];
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
        n_bytes <= limit.rlim_cur)
        return PL_OK;
    progress_bytes(wanted, sizeof wanted, n_bytes);
    progress_bytes(allowed, sizeof allowed, limit.rlim_cur);
    return pl_fail(err, PL_E_IO, "%s: has %s, this process may write files of %s (ulimit -f)", what,
                   wanted, allowed);
}

pl_status fetch_check_room(int folder, uint64_t n_bytes, const char *what, pl_err *err)
{
    struct statvfs fs;
    char wanted[16], there[16];
    if (!n_bytes || fstatvfs(folder, &fs) != 0 || !fs.f_frsize ||
        n_bytes / fs.f_frsize < fs.f_bavail)
        return PL_OK;
    progress_bytes(wanted, sizeof wanted, n_bytes);
    progress_bytes(there, sizeof there, (uint64_t)fs.f_bavail * fs.f_frsize);
    return pl_fail(err, PL_E_IO, "%s: %s are wanted on disk, %s are free: make room, or choose "
                   "another folder with --dir", what, wanted, there);
}
