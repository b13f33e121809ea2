/* Writing a file of packed weights. Inside the pack cache only. */
#ifndef BACKEND_PACK_PACK_WRITE_H
#define BACKEND_PACK_PACK_WRITE_H

#include "backend/pack/pack_file.h"
#include "base/cache_dir.h"
#include "base/thread_pool.h"

/* Writes header, entries and the packed matrices into w->fd and commits or abandons w. entry and
 * at: (n), in loading order; *at[i] is where matrix i lies; entries get their offsets. Runs the
 * pool. */
pl_status pack_write(struct cache_writer *w, const struct pack_key *key, struct pack_entry *entry,
                     uint8_t *const *const *at, uint32_t n, struct thread_pool *pool,
                     pl_err *err);

#endif
