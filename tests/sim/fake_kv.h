/* KV memory and a forward pass for the simulator: exact, and without a model.
 *
 * Every place of a page, of each KV group, holds the token, its position, and a hash of all tokens
 * up to it. The pass writes the places of all columns, then looks at every position that a column
 * attends to: each must hold, in every group whose window sees it, what the sequence's own history
 * says. A wrong page table, a copy not made, a page that was given to another or too early, a
 * shared page that was written: each shows as a foreign place.
 *
 * A state holds how many tokens it has seen and the hash of them. */
#ifndef SIM_FAKE_KV_H
#define SIM_FAKE_KV_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "backend/backend.h"

struct place {
    int32_t token;
    uint32_t pos;
    uint64_t chain;             /* of this token and all before it */
};

struct fake_kv {
    uint32_t n_groups;
    struct place *place[MAX_KV_GROUPS];     /* (n_pages, PAGE_TOKENS) */
    struct place *state;        /* (n_states) pos: the last token's */
    uint64_t n_copied;
    bool forgets_to_copy;       /* planted bug */
};

static inline uint64_t chain_next(uint64_t chain, int32_t token)
{
    uint64_t z = (chain + (uint32_t)token + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    return z ^ z >> 31;
}

/* What the fake model says after a history: a pure function of it. */
static inline int32_t fake_sample(uint64_t chain, uint32_t n_vocab)
{
    return (int32_t)((chain >> 32) % n_vocab);
}

static inline bool fake_kv_open(struct fake_kv *kv, const struct kv_groups *groups)
{
    bool is_open = true;
    *kv = (struct fake_kv){ .n_groups = groups->n };
    for (uint32_t g = 0; g < groups->n; g++) {
        kv->place[g] = calloc((size_t)groups->group[g].n_pages * PAGE_TOKENS, sizeof **kv->place);
        is_open &= kv->place[g] != NULL;
    }
    kv->state = calloc(groups->n_states + 1, sizeof *kv->state);
    is_open &= kv->state != NULL;
    return is_open;
}

static inline void fake_kv_close(struct fake_kv *kv)
{
    for (uint32_t g = 0; g < kv->n_groups; g++) free(kv->place[g]);
    free(kv->state);
    *kv = (struct fake_kv){ 0 };
}

static inline struct place *fake_kv_at(const struct fake_kv *kv, const struct span *span,
                                       uint32_t g, uint32_t pos)
{
    const size_t page = span->page[g][pos / PAGE_TOKENS];
    return &kv->place[g][page * PAGE_TOKENS + pos % PAGE_TOKENS];
}

static inline void fake_kv_copy(void *arg, uint32_t kv_group, uint32_t to, uint32_t from)
{
    struct fake_kv *kv = arg;
    struct place *place = kv->place[kv_group];
    kv->n_copied++;
    if (kv->forgets_to_copy) return;
    for (uint32_t i = 0; i < PAGE_TOKENS; i++)
        place[(size_t)to * PAGE_TOKENS + i] = place[(size_t)from * PAGE_TOKENS + i];
}

/* Goes on from what its own place says, whatever pages hold. */
static inline void fake_state_go_on(struct fake_kv *kv, const struct batch *batch,
                                    const struct span *span)
{
    const bool is_empty = span->state_from == NO_STATE;
    struct place now = is_empty ? (struct place){ 0 } : kv->state[span->state_from];
    const uint32_t n_seen = is_empty ? 0 : now.pos + 1;
    for (uint32_t i = 0; i < span->n_cols; i++) {
        now.token = batch->token[span->first_col + i];
        now.chain = chain_next(now.chain, now.token);
        now.pos = n_seen + i;
        if (span->state_kept != NO_STATE && i + 1 == span->n_kept_cols)
            kv->state[span->state_kept] = now;
    }
    kv->state[span->state_to] = now;
}

/* Whether the span's state is what the history says. */
static inline bool fake_state_is_own(const struct fake_kv *kv, const struct span *span,
                                     const int32_t *history)
{
    const struct place *now = &kv->state[span->state_to];
    const uint32_t end = span->first_pos + span->n_cols;
    uint64_t chain = 0;
    for (uint32_t pos = 0; pos < end; pos++) chain = chain_next(chain, history[pos]);
    return now->pos + 1 == end && now->chain == chain;
}

static inline void fake_forward(struct fake_kv *kv, const struct batch *batch)
{
    for (uint32_t i = 0; i < batch->n_spans; i++) {
        const struct span *span = &batch->span[i];
        const uint32_t first = span->first_pos;
        uint64_t chain = first ? fake_kv_at(kv, span, 0, first - 1)->chain : 0;

        if (span->state_to != NO_STATE) fake_state_go_on(kv, batch, span);
        for (uint32_t c = span->first_col; c < span->first_col + span->n_cols; c++) {
            chain = chain_next(chain, batch->token[c]);
            for (uint32_t g = 0; g < kv->n_groups; g++)
                *fake_kv_at(kv, span, g, batch->pos[c]) =
                    (struct place){ batch->token[c], batch->pos[c], chain };
        }
    }
}

/* The first position from `first` on of the span's and before that a group does not hold as the
 * history's own, or the end of the span. */
static inline uint32_t fake_kv_foreign(const struct fake_kv *kv, const struct span *span,
                                       uint32_t g, uint32_t first, const int32_t *history)
{
    const uint32_t end = span->first_pos + span->n_cols;
    uint64_t chain = 0;
    for (uint32_t pos = 0; pos < end; pos++) {
        chain = chain_next(chain, history[pos]);
        if (pos < first) continue;
        if (span->page[g][pos / PAGE_TOKENS] == NO_PAGE) return pos;
        const struct place *p = fake_kv_at(kv, span, g, pos);
        if (p->token != history[pos] || p->pos != pos || p->chain != chain) return pos;
    }
    return end;
}

#endif
