/* Writing a file of packed weights. Inside the pack cache only. */
#ifndef BACKEND_CPU_PACK_WRITE_H
#define BACKEND_CPU_PACK_WRITE_H

#include "backend/cpu/pack_file.h"
#include "base/cache_dir.h"
#include "base/thread_pool.h"

/* Writes header, entries and the matrices' panels into w->fd and commits or abandons w. entry and
 * matrix: (n), in loading order; entries get their offsets. Runs the pool. */
pl_status pack_write(struct cache_writer *w, const struct pack_key *key, struct pack_entry *entry,
                     struct matrix *const *matrix, uint32_t n, struct thread_pool *pool,
                     pl_err *err);

#endif
