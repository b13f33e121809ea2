/* The host's side of picks on a GPU, for every backend that picks itself: struct pick as the
 * kernels read it, and what they leave as struct picked. No state, any thread. */
#ifndef BACKEND_ROW_PICK_H
#define BACKEND_ROW_PICK_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "backend/backend.h"
#include "backend/row_pick_args.h"

_Static_assert(sizeof(struct row_touch) == sizeof(struct touch) &&
                   offsetof(struct row_touch, logit) == offsetof(struct touch, logit),
               "copied as they are");
_Static_assert((int)MAX_TOP == PICK_MAX_TOP && (int)NO_LAST_TOKEN == NO_LAST, "as the seam says");

/* Of a row; behind them lies one row_touch more, for its last token. */
static inline uint32_t row_pick_max_touched(const struct backend_params *p)
{
    return p->dims.n_vocab < MAX_TOUCHED ? p->dims.n_vocab : MAX_TOUCHED;
}

/* How the token is drawn. The logarithm is the host's, so that min-p has the same border as on the
 * CPU. */
static inline void row_pick_set_draw(struct row_pick *r, const struct pick *p, uint32_t n_vocab)
{
    const bool has_top_k = p->top_k && p->top_k < n_vocab;
    r->kind = PICK_LARGEST;
    if (p->temperature == 0 || p->top_k == 1 || !isfinite(1 / p->temperature)) return;
    r->kind = has_top_k || p->top_p < 1 || p->min_p > 0 ? PICK_FROM_BEST : PICK_FROM_ALL;
    r->unit = fminf((float)p->unit, 0x1.fffffep-1f);
    r->scale = 1 / p->temperature;
    if (has_top_k) r->top_k = p->top_k;
    if (p->top_p < 1) r->top_p = p->top_p;
    if (p->min_p > 0) r->log_min_p = logf(p->min_p);
}

static inline struct row_pick row_pick_of(const struct pick *p, uint32_t n_vocab)
{
    struct row_pick r = { .kind = PICK_BY_HOST, .top_p = 1, .log_min_p = -FLT_MAX };
    if (!p->is_by_backend) return r;
    row_pick_set_draw(&r, p, n_vocab);
    r.repetition_penalty = p->repetition_penalty;
    r.frequency_penalty = p->frequency_penalty;
    r.presence_penalty = p->presence_penalty;
    r.last = p->last;
    r.n_touched = p->n_touched;
    r.n_top = p->n_top;
    if (p->n_touched || p->last != NO_LAST) r.flags |= PICK_TOUCHES;
    if (p->wants_logprob || p->n_top) r.flags |= PICK_WANTS_PROBS;
    return r;
}

/* What the kernels read of n picks: to (n), touch (n, row_pick_max_touched + 1). Returns the flags
 * of all of them; *is_any: whether one is the backend's. */
static inline uint32_t row_picks_write(struct row_pick *to, struct row_touch *touch,
                                       const struct backend_params *p, const struct pick *pick,
                                       uint32_t n, bool *is_any)
{
    const size_t ld_touch = row_pick_max_touched(p) + 1;
    uint32_t flags = 0;
    *is_any = false;
    for (uint32_t i = 0; i < n; i++) {
        to[i] = row_pick_of(&pick[i], backend_n_tokens(p));
        if (to[i].n_touched)
            memcpy(touch + i * ld_touch, pick[i].touch, to[i].n_touched * sizeof *pick[i].touch);
        *is_any |= to[i].kind != PICK_BY_HOST;
        flags |= to[i].flags;
    }
    return flags;
}

/* What came of a row's pick. */
static inline struct picked row_picked(const struct row_pick *pick, const struct row_probs *probs,
                                       int32_t token)
{
    struct picked p = { .token = token };
    if (!(pick->flags & PICK_WANTS_PROBS) || p.token < 0) return p;
    p.logprob = probs->logprob;
    p.n_top = probs->n_top;
    for (uint32_t i = 0; i < p.n_top; i++)
        p.top[i] = (pl_token_prob){ probs->token[i], probs->top[i] };
    return p;
}

#endif
