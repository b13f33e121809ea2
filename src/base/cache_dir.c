#include "base/cache_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

pl_status cache_dir_open(struct cache_dir *d, const char *path, pl_err *err)
{
    *d = (struct cache_dir){ 0 };
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return pl_fail(err, PL_E_IO, "%s: cannot make this folder: %s", path, strerror(errno));
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return pl_fail(err, PL_E_IO, "%s: %s", path, strerror(errno));
    *d = (struct cache_dir){ .is_open = true, .fd = fd, .path = strdup(path) };
    if (d->path) return PL_OK;
    cache_dir_close(d);
    return pl_fail(err, PL_E_MEMORY, "%s: no memory for the path", path);
}

void cache_dir_close(struct cache_dir *d)
{
    if (d->is_open) close(d->fd);
    free(d->path);
    *d = (struct cache_dir){ 0 };
}

/* NULL: this user alone decides what is in the file. */
static const char *distrust(const struct stat *info)
{
    if (!S_ISREG(info->st_mode)) return "not a regular file";
    if (info->st_uid != geteuid()) return "belongs to another user";
    if (info->st_mode & (S_IWGRP | S_IWOTH)) return "others may write to it";
    return NULL;
}

pl_status cache_dir_find(const struct cache_dir *d, const char *name, int *fd, pl_err *err)
{
    struct stat info;
    *fd = openat(d->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (*fd < 0 && errno == ENOENT) return PL_OK;
    if (*fd < 0) return pl_fail(err, PL_E_IO, "%s/%s: %s", d->path, name, strerror(errno));
    const char *why = fstat(*fd, &info) ? strerror(errno) : distrust(&info);
    if (!why) return PL_OK;
    close(*fd);
    *fd = -1;
    return pl_fail(err, PL_E_IO, "%s/%s: %s", d->path, name, why);
}

/* ---- writing -------------------------------------------------------------------------------- */

/* A write beyond the process's limit would come with a signal that ends it; a full disk is better
 * noticed before a gigabyte is written. */
static pl_status check_room(const struct cache_writer *w, uint64_t n_bytes, pl_err *err)
{
    struct rlimit limit;
    struct statvfs fs;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        n_bytes > limit.rlim_cur)
        return pl_fail(err, PL_E_IO, "%s/%s: %" PRIu64 " bytes are wanted; this process may write "
                       "%" PRIu64 " (ulimit -f)", w->dir->path, w->name, n_bytes,
                       (uint64_t)limit.rlim_cur);
    if (fstatvfs(w->fd, &fs) == 0 && fs.f_frsize && n_bytes / fs.f_frsize >= fs.f_bavail)
        return pl_fail(err, PL_E_IO, "%s/%s: %" PRIu64 " bytes are wanted; %" PRIu64 " are free",
                       w->dir->path, w->name, n_bytes, (uint64_t)fs.f_bavail * fs.f_frsize);
    return PL_OK;
}

/* Holds the lock of the file that has the temporary name; one that got its final name while we
 * waited to open it is somebody's finished work. */
static pl_status lock_temporary(struct cache_writer *w, pl_err *err)
{
    struct stat ours, named;
    w->fd = openat(w->dir->fd, w->temporary, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
                   0600);
    if (w->fd < 0)
        return pl_fail(err, PL_E_IO, "%s/%s: %s", w->dir->path, w->temporary, strerror(errno));
    if (flock(w->fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK
                   ? pl_fail(err, PL_E_BUSY, "%s/%s: another process is writing it", w->dir->path,
                             w->name)
                   : pl_fail(err, PL_E_IO, "%s/%s: cannot lock: %s", w->dir->path, w->temporary,
                             strerror(errno));
    if (fstat(w->fd, &ours) != 0 ||
        fstatat(w->dir->fd, w->temporary, &named, AT_SYMLINK_NOFOLLOW) != 0 ||
        ours.st_ino != named.st_ino || ours.st_dev != named.st_dev)
        return pl_fail(err, PL_E_BUSY, "%s/%s: another process has just written it", w->dir->path,
                       w->name);
    const char *why = distrust(&ours);
    if (why)
        return pl_fail(err, PL_E_IO, "%s/%s: %s; remove it", w->dir->path, w->temporary, why);
    return PL_OK;
}

pl_status cache_write_begin(struct cache_writer *w, const struct cache_dir *d, const char *name,
                            uint64_t n_bytes, pl_err *err)
{
    *w = (struct cache_writer){ .dir = d, .fd = -1 };
    snprintf(w->name, sizeof w->name, "%s", name);
    snprintf(w->temporary, sizeof w->temporary, "%s.tmp", w->name);
    const pl_status st = lock_temporary(w, err);
    if (st) {
        if (w->fd >= 0) close(w->fd);
        return st;
    }
    if (ftruncate(w->fd, 0) != 0 || fchmod(w->fd, 0600) != 0) {
        pl_fail(err, PL_E_IO, "%s/%s: %s", d->path, w->temporary, strerror(errno));
    } else if (check_room(w, n_bytes, err) == PL_OK) {
        return PL_OK;
    }
    cache_write_abandon(w);
    return PL_E_IO;
}

/* On macOS fsync leaves data in the drive's own memory. */
static int to_disk(int fd)
{
#ifdef F_FULLFSYNC
    if (fcntl(fd, F_FULLFSYNC) == 0) return 0;
#endif
    return fsync(fd);
}

pl_status cache_write_commit(struct cache_writer *w, pl_err *err)
{
    const struct cache_dir *d = w->dir;
    if (to_disk(w->fd) != 0 || renameat(d->fd, w->temporary, d->fd, w->name) != 0) {
        pl_fail(err, PL_E_IO, "%s/%s: %s", d->path, w->name, strerror(errno));
        cache_write_abandon(w);
        return PL_E_IO;
    }
    close(w->fd);
    /* only whether the name survives a loss of power hangs on this; some systems cannot */
    fsync(d->fd);
    return PL_OK;
}

/* Removed while the lock is held: nobody else can be writing to it. */
void cache_write_abandon(struct cache_writer *w)
{
    unlinkat(w->dir->fd, w->temporary, 0);
    close(w->fd);
}

/* ---- old versions --------------------------------------------------------------------------- */

static bool is_version(const char *name, const char *start, const char *end)
{
    const size_t n = strlen(name), n_start = strlen(start), n_end = strlen(end);
    return n > n_start + n_end && !memcmp(name, start, n_start) &&
           !strcmp(name + n - n_end, end) &&
           strspn(name + n_start, "0123456789.") >= n - n_start - n_end;
}

uint32_t cache_dir_remove_versions(const struct cache_dir *d, const char *start, const char *end,
                                   const char *keep)
{
    uint32_t n_removed = 0;
    const int fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    if (!list) {
        if (fd >= 0) close(fd);
        return 0;
    }
    for (const struct dirent *e; (e = readdir(list));)
        if (is_version(e->d_name, start, end) && strcmp(e->d_name, keep) != 0)
            n_removed += unlinkat(d->fd, e->d_name, 0) == 0;
    closedir(list);
    return n_removed;
}
