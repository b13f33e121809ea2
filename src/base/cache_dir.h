/* A folder of files that can be made again: each appears under its name whole and on disk, or not
 * at all, and only what this user alone may write is believed.
 *
 * A writer holds an advisory lock on NAME.tmp, so that two processes never write one file twice;
 * what a process that died left there is written over by the next. One thread at a time. */
#ifndef BASE_CACHE_DIR_H
#define BASE_CACHE_DIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { CACHE_NAME_MAX = 120 };

struct cache_dir { /* zeroed is closed */
    bool is_open;
    int fd;
    char *path;                 /* for messages */
};

/* Makes the folder (0700) where it is missing; the one above it must be there. */
pl_status cache_dir_open(struct cache_dir *d, const char *path, pl_err *err);
void cache_dir_close(struct cache_dir *d);

/* Opens a file for reading, the caller closes *fd. *fd is -1 where there is none; PL_E_IO also for
 * a file that is a link, belongs to another user, or that others may write to. */
pl_status cache_dir_find(const struct cache_dir *d, const char *name, int *fd, pl_err *err);

struct cache_writer {
    const struct cache_dir *dir;
    char name[CACHE_NAME_MAX], temporary[CACHE_NAME_MAX + 4];
    int fd;                     /* write here, with pwrite from any thread */
};

/* PL_E_BUSY: another process is writing this file. PL_E_IO where n_bytes cannot be stored as far as
 * can be known before. After success exactly one of commit and abandon must follow. */
pl_status cache_write_begin(struct cache_writer *w, const struct cache_dir *d, const char *name,
                            uint64_t n_bytes, pl_err *err);

/* Brings the file to disk and then under its name, in place of what was there. A failure leaves the
 * name as it was. */
pl_status cache_write_commit(struct cache_writer *w, pl_err *err);
void cache_write_abandon(struct cache_writer *w);

/* Removes the files whose names start and end so and have only digits and points between, except
 * `keep`; returns how many. */
uint32_t cache_dir_remove_versions(const struct cache_dir *d, const char *start, const char *end,
                                   const char *keep);

#endif
