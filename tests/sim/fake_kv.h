/* KV memory and a forward pass for the simulator: exact, and without a model.
 *
 * Every place of a page holds the token, its position, and a hash of all tokens up to it. The pass
 * writes the places of all columns, then looks at every position that a column attends to: each
 * must hold what the sequence's own history says. A wrong page table, a copy not made, a page that
 * was given to another or a shared page that was written: each shows as a foreign place. */
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
    struct place *place;        /* (n_pages, PAGE_TOKENS) */
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

static inline bool fake_kv_open(struct fake_kv *kv, uint32_t n_pages)
{
    *kv = (struct fake_kv){ .place = calloc((size_t)n_pages * PAGE_TOKENS, sizeof *kv->place) };
    return kv->place != NULL;
}

static inline void fake_kv_close(struct fake_kv *kv)
{
    free(kv->place);
    kv->place = NULL;
}

static inline struct place *fake_kv_at(const struct fake_kv *kv, const uint32_t *page, uint32_t pos)
{
    return &kv->place[(size_t)page[pos / PAGE_TOKENS] * PAGE_TOKENS + pos % PAGE_TOKENS];
}

static inline void fake_kv_copy(void *arg, uint32_t to, uint32_t from)
{
    struct fake_kv *kv = arg;
    kv->n_copied++;
    if (kv->forgets_to_copy) return;
    for (uint32_t i = 0; i < PAGE_TOKENS; i++)
        kv->place[(size_t)to * PAGE_TOKENS + i] = kv->place[(size_t)from * PAGE_TOKENS + i];
}

static inline void fake_forward(struct fake_kv *kv, const struct batch *batch)
{
    for (uint32_t i = 0; i < batch->n_spans; i++) {
        const struct span *span = &batch->span[i];
        const uint32_t first = span->first_pos;
        uint64_t chain = first ? fake_kv_at(kv, span->page, first - 1)->chain : 0;

        for (uint32_t c = span->first_col; c < span->first_col + span->n_cols; c++) {
            chain = chain_next(chain, batch->token[c]);
            *fake_kv_at(kv, span->page, batch->pos[c]) =
                (struct place){ batch->token[c], batch->pos[c], chain };
        }
    }
}

/* The first position below n that does not hold the history's own, or n. */
static inline uint32_t fake_kv_foreign(const struct fake_kv *kv, const uint32_t *page,
                                       const int32_t *history, uint32_t n)
{
    uint64_t chain = 0;
    for (uint32_t pos = 0; pos < n; pos++) {
        const struct place *p = fake_kv_at(kv, page, pos);
        chain = chain_next(chain, history[pos]);
        if (p->token != history[pos] || p->pos != pos || p->chain != chain) return pos;
    }
    return n;
}

#endif
