#include "base/file_map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct file_identity identity_of(const struct stat *info)
{
#ifdef __APPLE__
    const struct timespec m = info->st_mtimespec, c = info->st_ctimespec;
#else
    const struct timespec m = info->st_mtim, c = info->st_ctim;
#endif
    return (struct file_identity){
        .device = (uint64_t)info->st_dev, .inode = (uint64_t)info->st_ino,
        .n_bytes = (uint64_t)info->st_size,
        .mtime_ns = (int64_t)m.tv_sec * 1000000000 + m.tv_nsec,
        .ctime_ns = (int64_t)c.tv_sec * 1000000000 + c.tv_nsec,
    };
}

pl_status file_map_open_fd(struct file_map *map, int fd, const char *path, pl_err *err)
{
    *map = (struct file_map){0};
    struct stat info;
    pl_status st = PL_OK;

    if (fstat(fd, &info) != 0) {
        st = pl_fail(err, PL_E_IO, "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(info.st_mode)) {
        st = pl_fail(err, PL_E_IO, "%s: %s; a regular file is wanted", path,
                     S_ISDIR(info.st_mode) ? "a folder" : "neither file nor folder");
    } else if (!(map->path = strdup(path))) {
        st = pl_fail(err, PL_E_MEMORY, "%s: no memory for the path", path);
    } else if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED)
            st = pl_fail(err, PL_E_IO, "%s: cannot map %lld bytes: %s", path,
                         (long long)info.st_size, strerror(errno));
        else {
            map->data = data;
            map->n_bytes = (size_t)info.st_size;
        }
    }
    if (st) file_map_close(map);
    else map->identity = identity_of(&info);
    return st;
}

pl_status file_map_open(struct file_map *map, const char *path, pl_err *err)
{
    *map = (struct file_map){0};
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);   /* for pipes */

    if (fd < 0) return pl_fail(err, PL_E_IO, "%s: %s", path, strerror(errno));
    const pl_status st = file_map_open_fd(map, fd, path, err);
    close(fd);
    return st;
}

bool file_map_is_current(const struct file_map *map)
{
    struct stat info;
    if (stat(map->path, &info) != 0) return false;
    const struct file_identity now = identity_of(&info);
    return !memcmp(&now, &map->identity, sizeof now);
}

void file_map_drop_pages(const struct file_map *map)
{
    if (map->data) madvise((void *)(uintptr_t)map->data, map->n_bytes, MADV_DONTNEED);
}

void file_map_want_huge_pages(const struct file_map *map)
{
#ifdef MADV_HUGEPAGE
    if (map->data) madvise((void *)(uintptr_t)map->data, map->n_bytes, MADV_HUGEPAGE);
#else
    (void)map;
#endif
}

void file_map_close(struct file_map *map)
{
    if (map->data) munmap((void *)(uintptr_t)map->data, map->n_bytes);
    free(map->path);
    *map = (struct file_map){0};
}
