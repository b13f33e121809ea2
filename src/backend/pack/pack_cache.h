/* Packed weights kept on disk: written after a first load, mapped read-only and shared at later
 * ones, so that processes share their memory. It only ever helps: whatever is wrong with the
 * folder, the file or the disk is a warning, and the weights are packed in memory as without it.
 *
 *     open     maps DIR/<model hash>-cpu-<isa>-v<versions>.pack and checks every byte (the
 *              team's threads, at memory speed, which also brings the pages in)
 *     take     hands out matrix after matrix while they are what the file says
 *     finish   where anything was packed after all: writes the file, maps it, and lets the arena go
 *
 * One thread, which runs the pool. */
#ifndef BACKEND_CPU_PACK_CACHE_H
#define BACKEND_CPU_PACK_CACHE_H

#include "backend/backend.h"
#include "backend/cpu/memory.h"
#include "backend/cpu/pack_file.h"
#include "base/thread_pool.h"

struct pack_cache;

/* NULL: there is no cache to use, which was logged. Release with pack_cache_close, after the last
 * use of any matrix. */
struct pack_cache *pack_cache_open(const char *dir, struct hash128 model, const char *isa,
                                   struct thread_pool *pool);
void pack_cache_close(struct pack_cache *c);

/* To be called once for every matrix with its shape set. True: m->panel leads into the file; false:
 * the caller packs it. m must stay where it is until finish. */
bool pack_cache_take(struct pack_cache *c, const struct weight_view *view, struct matrix *m);

/* All matrices are loaded. Where they now lie in the file, `arena`, which held only panels, is
 * freed. */
void pack_cache_finish(struct pack_cache *c, struct thread_pool *pool, struct memory *arena);

/* Keeps what is mapped from being swapped out. */
pl_status pack_cache_lock(const struct pack_cache *c, pl_err *err);

/* Bytes of the weights that are mapped from the file. */
uint64_t pack_cache_shared_bytes(const struct pack_cache *c);

#endif
