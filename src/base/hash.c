#include "base/hash.h"

#include <stdatomic.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { PIECE_BYTES = 4 << 20 };

uint64_t hash64(const void *bytes, size_t n)
{
    return XXH3_64bits(bytes, n);
}

struct hash128 hash128(const void *bytes, size_t n)
{
    const XXH128_hash_t h = XXH3_128bits(bytes, n);
    return (struct hash128){ h.low64, h.high64 };
}

struct pieces {
    const uint8_t *bytes;
    size_t n_bytes, n_pieces;
    struct hash128 *hash;       /* (n_pieces) */
    atomic_size_t next;         /* relaxed: it only gives out numbers */
};

/* In turns, not in equal shares: a file that comes from disk is then read nearly in order. */
static void hash_pieces(void *arg, uint32_t id, uint32_t n_threads)
{
    struct pieces *p = arg;
    (void)id, (void)n_threads;
    for (;;) {
        const size_t i = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);
        if (i >= p->n_pieces) return;
        const size_t first = i * PIECE_BYTES, left = p->n_bytes - first;
        p->hash[i] = hash128(p->bytes + first, left < PIECE_BYTES ? left : PIECE_BYTES);
    }
}

pl_status hash128_by_team(struct thread_pool *pool, const void *bytes, size_t n,
                          struct hash128 *out, pl_err *err)
{
    struct pieces p = { .bytes = bytes, .n_bytes = n,
                        .n_pieces = n / PIECE_BYTES + (n % PIECE_BYTES != 0) };
    p.hash = malloc((p.n_pieces + 1) * sizeof *p.hash);
    if (!p.hash)
        return pl_fail(err, PL_E_MEMORY, "no memory for the hashes of %zu pieces", p.n_pieces);
    thread_pool_run(pool, hash_pieces, &p);
    *out = hash128(p.hash, p.n_pieces * sizeof *p.hash);
    free(p.hash);
    return PL_OK;
}
