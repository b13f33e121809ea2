/* How long a reply may think: after so many tokens of thoughts their end mark is written for it.
 * What must come next follows from the reply's tokens alone, so a position that is computed again
 * comes out the same.
 *
 * Threads: any. No allocation. */
#ifndef ENGINE_THOUGHT_H
#define ENGINE_THOUGHT_H

#include "engine/pick.h"
#include "paceline.h"

enum { THOUGHT_MAX_MARK = 8 };

struct thought {
    int32_t begin[THOUGHT_MAX_MARK], end[THOUGHT_MAX_MARK];
    uint32_t n_begin, n_end;    /* n_end 0: it thinks as long as it likes */
    uint32_t max_tokens;        /* between the marks */
};

/* PL_E_PARAM names the value, its bounds and what was found. */
pl_status thought_check(const pl_thoughts *t, uint32_t n_vocab, pl_err *err);

struct thought thought_copy(const pl_thoughts *t);

/* The token that must come behind the reply's first n, or -1: any may. */
int32_t thought_next(const struct thought *t, const int32_t *reply, uint32_t n);

/* Has the pick choose it. */
void thought_force(const struct thought *t, const int32_t *reply, uint32_t n, struct pick *pick,
                   const struct pick_room *room);

#endif
