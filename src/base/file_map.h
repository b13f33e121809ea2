/* A file mapped read-only and shared. A zeroed file_map is closed. */
#ifndef BASE_FILE_MAP_H
#define BASE_FILE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* What changes when a file is replaced or written to. No padding: equal bytes are equal files. */
struct file_identity {
    uint64_t device, inode, n_bytes;
    int64_t mtime_ns, ctime_ns;
};

struct file_map {
    const uint8_t *data;    /* NULL for an empty file */
    size_t n_bytes;
    char *path;             /* owned copy, for messages */
    struct file_identity identity;  /* when it was opened */
};

pl_status file_map_open(struct file_map *map, const char *path, pl_err *err);

/* The same for an open file, which stays the caller's and may be closed; path is for messages. */
pl_status file_map_open_fd(struct file_map *map, int fd, const char *path, pl_err *err);

/* True while the path still leads to what is mapped, unchanged since file_map_open. */
bool file_map_is_current(const struct file_map *map);

/* Says that the pages are no longer needed: they leave this process's resident size and are read
 * again if touched. */
void file_map_drop_pages(const struct file_map *map);

/* Asks for huge pages where the system maps files with them. */
void file_map_want_huge_pages(const struct file_map *map);

void file_map_close(struct file_map *map);

#endif
