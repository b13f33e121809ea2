/* Fast hashes of bytes (XXH3, seedless): they tell contents apart and find damage. Not for secrets.
 * The same on every machine of one byte order. Any thread, except as noted. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/thread_pool.h"

struct hash128 {
    uint64_t low, high;
};

static inline bool hash128_equal(struct hash128 a, struct hash128 b)
{
    return a.low == b.low && a.high == b.high;
}

uint64_t hash64(const void *bytes, size_t n);
struct hash128 hash128(const void *bytes, size_t n);

/* The hash of the hashes of equal pieces, which the team's threads take in turns: another value
 * than hash128's, the same for every number of threads. The calling thread runs the pool. */
pl_status hash128_by_team(struct thread_pool *pool, const void *bytes, size_t n,
                          struct hash128 *out, pl_err *err);

#endif
