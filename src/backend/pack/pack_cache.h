/* Packed weights kept on disk: written after a first load, mapped read-only and shared at later
 * ones, so that processes share their memory. It only ever helps: whatever is wrong with the
 * folder, the file or the disk is a warning, and the weights are packed in memory as without it.
 *
 *     open     maps DIR/<model hash>-<target>-v<versions>.pack and checks every byte (the team's
 *              threads, at memory speed, which also brings the pages in)
 *     take     hands out matrix after matrix while they are what the file says
 *     finish   where anything was packed after all: writes the file
 *
 * One thread, which runs the pool. */
#ifndef BACKEND_PACK_PACK_CACHE_H
#define BACKEND_PACK_PACK_CACHE_H

#include "backend/pack/pack_file.h"
#include "base/thread_pool.h"

struct pack_cache;

/* NULL: there is no cache to use, which was logged. Release with pack_cache_close, after the last
 * use of any matrix. */
struct pack_cache *pack_cache_open(const char *dir, const struct pack_key *key,
                                   struct thread_pool *pool);
void pack_cache_close(struct pack_cache *c);

/* A matrix as the model file has it, and as its backend packs it. */
struct pack_weight {
    const char *name;
    uint32_t type, n_rows, n_k;
    uint32_t format;
    uint64_t n_bytes;
};

/* To be called once for every matrix. True: *at leads into the file, which is never written to;
 * false: the caller packs the matrix and sets *at. `at` must stay where it is until finish. */
bool pack_cache_take(struct pack_cache *c, const struct pack_weight *w, uint8_t **at);

/* All matrices are loaded. may_move: where they lie in a file that was written only now, every *at
 * is led there. True: all lie in the file; what the caller packed itself is not needed. */
bool pack_cache_finish(struct pack_cache *c, struct thread_pool *pool, bool may_move);

/* What is mapped from the file and used; 0 bytes: nothing. */
const void *pack_cache_mapped(const struct pack_cache *c, uint64_t *n_bytes);

#endif
