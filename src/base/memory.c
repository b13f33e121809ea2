#include "base/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/red_zone.h"

struct memory_chunk {
    struct memory_chunk *next;
    uint8_t *start;
    uint64_t n_bytes, n_used;
};

/* Small requests share chunks of this size; the untouched end of a chunk is never resident. */
static const uint64_t chunk_bytes = (uint64_t)64 << 20;
static const uint64_t huge_bytes = (uint64_t)2 << 20;

/* Lets go of what is not given out: the rest of the last huge page is resident without use. */
static void trim(const struct memory_chunk *c)
{
#if defined __linux__
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    const uint64_t used = (c->n_used + page - 1) / page * page;
    if (used < c->n_bytes) madvise(c->start + used, c->n_bytes - used, MADV_DONTNEED);
#else
    (void)c;
#endif
}

static struct memory_chunk *add_chunk(struct memory *m, uint64_t n_bytes)
{
    const uint64_t wanted = n_bytes > chunk_bytes ? n_bytes : chunk_bytes;
    const uint64_t rounded = (wanted + huge_bytes - 1) / huge_bytes * huge_bytes;
    struct memory_chunk *c = malloc(sizeof *c);
    if (!c) return NULL;
    void *start = mmap(NULL, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) {
        free(c);
        return NULL;
    }
#ifdef MADV_HUGEPAGE
    madvise(start, rounded, MADV_HUGEPAGE);
#endif
    if (m->chunk) trim(m->chunk);
    *c = (struct memory_chunk){ m->chunk, start, rounded, RED_ZONE_BYTES };
    red_zone_set(start, rounded);
    m->chunk = c;
    return c;
}

void *memory_take(struct memory *m, uint64_t n_bytes, const char *what, pl_err *err)
{
    const uint64_t rounded = memory_rounded(n_bytes), with_zones = rounded + RED_ZONE_BYTES;
    struct memory_chunk *c = m->chunk;
    if (!c || with_zones > c->n_bytes - c->n_used) c = add_chunk(m, with_zones + RED_ZONE_BYTES);
    if (!c) {
        pl_fail(err, PL_E_MEMORY, "no memory for %" PRIu64 " bytes of %s: %s", n_bytes, what,
                strerror(errno));
        return NULL;
    }
    void *taken = c->start + c->n_used;
    c->n_used += with_zones;
    red_zone_lift(taken, n_bytes);
    m->given_bytes += rounded;
    return taken;
}

pl_status memory_lock(const void *from, uint64_t n_bytes, pl_err *err)
{
    if (mlock(from, n_bytes) == 0) return PL_OK;
    return pl_fail(err, PL_E_MEMORY, "cannot lock %" PRIu64 " bytes in memory: %s; raise the limit "
                   "(ulimit -l) or leave out --mlock", n_bytes, strerror(errno));
}

void memory_unlock(const void *from, uint64_t n_bytes)
{
    munlock(from, n_bytes);
}

void memory_trim(const struct memory *m)
{
    if (m->chunk) trim(m->chunk);
}

pl_status memory_lock_all(const struct memory *m, pl_err *err)
{
    pl_status st = PL_OK;
    for (const struct memory_chunk *c = m->chunk; c && !st; c = c->next)
        st = memory_lock(c->start, c->n_used, err);
    return st;
}

void memory_free(struct memory *m)
{
    while (m->chunk) {
        struct memory_chunk *next = m->chunk->next;
        red_zone_lift(m->chunk->start, m->chunk->n_bytes);
        munmap(m->chunk->start, m->chunk->n_bytes);
        free(m->chunk);
        m->chunk = next;
    }
    *m = (struct memory){ 0 };
}
