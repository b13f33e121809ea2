/* Memory of a backend: page-aligned chunks from the system, huge pages where it grants them,
 * given out in 64-byte steps and freed all at once. What was given out is counted, so that a plan
 * can be checked to the byte. What was not given out is a red zone. Not locked: one thread. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { MEMORY_ALIGN = 64 };

struct memory_chunk;

struct memory { /* zeroed is empty */
    struct memory_chunk *chunk;     /* newest first */
    uint64_t given_bytes;
};

/* What memory_take counts for n bytes. */
static inline uint64_t memory_rounded(uint64_t n_bytes)
{
    return (n_bytes + MEMORY_ALIGN - 1) & ~(uint64_t)(MEMORY_ALIGN - 1);
}

/* Zeroed memory for `what`; NULL: there is none, err says how much was wanted. */
void *memory_take(struct memory *m, uint64_t n_bytes, const char *what, pl_err *err);

/* Keeps a range from being swapped out; PL_E_MEMORY names the limit to raise. */
pl_status memory_lock(const void *from, uint64_t n_bytes, pl_err *err);

/* It may be again. */
void memory_unlock(const void *from, uint64_t n_bytes);

/* The first for all that was given out. */
pl_status memory_lock_all(const struct memory *m, pl_err *err);

/* Nothing more will be taken: what huge pages hold beyond it goes back to the system. */
void memory_trim(const struct memory *m);

void memory_free(struct memory *m);

#endif
