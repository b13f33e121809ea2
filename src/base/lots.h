/* Work of a phase that a team evens out: every member has a lot of its own, cut into equally many
 * parts, takes these in order, and then what others have not begun.
 *
 *     I1  Every part of a phase is taken once.
 *     I2  Members take their own parts first and in order, so what a part leaves ready for the next
 *         (a panel that was fetched ahead) is used by the same core.
 *
 * Phases are numbered from 0, and a barrier of the team lies between two: it orders the counters,
 * which are relaxed, and whatever the parts read and write. */
#ifndef BASE_LOTS_H
#define BASE_LOTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many parts of a member's lot have been taken, in even phases and in odd ones; apart from
 * everybody else's, wherever the first lies: neighbouring lines are fetched in pairs. */
struct lot {
    atomic_uint n_taken[2];
    char apart[128 - 2 * sizeof(atomic_uint)];
};

/* A member's way through a phase. */
struct lot_walk {
    struct lot *lot;                /* (n_members) */
    uint32_t n_members, n_parts;    /* parts of a lot */
    uint32_t phase, me, n_passed;   /* lots that were found taken */
};

/* Before phase 0, by one thread that nobody runs beside. */
static inline void lots_clear(struct lot *lot, uint32_t n_members)
{
    for (uint32_t i = 0; i < n_members; i++)
        atomic_store_explicit(&lot[i].n_taken[0], 0, memory_order_relaxed);
}

/* Every member begins every phase, also one whose parts it does not take. The counter of the next
 * phase is cleared now: the last to look at it did so before the last barrier. */
static inline struct lot_walk lot_walk_begin(struct lot *lot, uint32_t n_members, uint32_t n_parts,
                                             uint32_t phase, uint32_t me)
{
    atomic_store_explicit(&lot[me].n_taken[(phase + 1) % 2], 0, memory_order_relaxed);
    return (struct lot_walk){ lot, n_members, n_parts, phase, me, 0 };
}

/* The next part, 0 .. n_members * n_parts - 1; false: all are taken. */
static inline bool lot_walk_next(struct lot_walk *w, uint32_t *part)
{
    for (; w->n_passed < w->n_members; w->n_passed++) {
        const uint32_t whose = (w->me + w->n_passed) % w->n_members;
        atomic_uint *n_taken = &w->lot[whose].n_taken[w->phase % 2];
        /* a look first: an addition would take the line away from its owner */
        if (w->n_passed && atomic_load_explicit(n_taken, memory_order_relaxed) >= w->n_parts)
            continue;
        const unsigned taken = atomic_fetch_add_explicit(n_taken, 1, memory_order_relaxed);
        if (taken >= w->n_parts) continue;
        *part = whose * w->n_parts + taken;
        return true;
    }
    return false;
}

#endif
