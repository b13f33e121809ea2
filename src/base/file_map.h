/* A file mapped read-only and shared. A zeroed file_map is closed. */
#ifndef BASE_FILE_MAP_H
#define BASE_FILE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct file_map {
    const uint8_t *data;    /* NULL for an empty file */
    size_t n_bytes;
    char *path;             /* owned copy, for messages */
};

pl_status file_map_open(struct file_map *map, const char *path, pl_err *err);

/* Says that the pages are no longer needed: they leave this process's resident size and are read
 * again if touched. */
void file_map_drop_pages(const struct file_map *map);

void file_map_close(struct file_map *map);

#endif
