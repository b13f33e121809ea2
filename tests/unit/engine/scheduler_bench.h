/* A scheduler with a pool and nobody to compute for it: tests compose a step, look at it and commit
 * it. Every step is audited. */
#ifndef SCHEDULER_BENCH_H
#define SCHEDULER_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/scheduler.h"

enum { TEST_TOKENS = 256, MAX_COPIES = 8 };

struct bench {
    struct kv_pool *pool, *windows, *states;    /* of group 0, and where params has them of group 1
                                         * and of states */
    struct scheduler *scheduler;
    struct step step;
    uint32_t n_copies, copied_to[MAX_COPIES], copied_from[MAX_COPIES];
};

struct user {
    struct seq seq;
    int32_t token[TEST_TOKENS];
    uint32_t page[TEST_TOKENS / PAGE_TOKENS], window_page[TEST_TOKENS / PAGE_TOKENS];
};

static inline void note_copy(void *arg, uint32_t kv_group, uint32_t to, uint32_t from)
{
    struct bench *b = arg;
    if (kv_group) return;
    assert_in_range(b->n_copies, 0, MAX_COPIES - 1);
    b->copied_to[b->n_copies] = to;
    b->copied_from[b->n_copies++] = from;
}

static inline void open_bench(struct bench *b, uint32_t n_pages, struct scheduler_params params)
{
    pl_err err = { 0 };
    *b = (struct bench){ 0 };
    pl_status st = kv_pool_open(&b->pool, n_pages, &err);
    if (!st && params.kv.n > 1) st = kv_pool_open(&b->windows, params.kv.group[1].n_pages, &err);
    if (!st && params.kv.n_states) st = kv_pool_open(&b->states, params.kv.n_states, &err);
    struct kv_pool *const pools[] = { b->pool, b->windows };
    if (st || scheduler_open(&b->scheduler, &params, pools, b->states, note_copy, b, &err))
        fail_msg("%s", err.text);
}

static inline void close_bench(struct bench *b)
{
    scheduler_close(b->scheduler);
    kv_pool_close(b->pool);
    kv_pool_close(b->windows);
    kv_pool_close(b->states);
}

/* A prompt that counts up from `first`. */
static inline void add(struct bench *b, struct user *u, int32_t first, uint32_t n_prompt,
                       uint32_t n_reply)
{
    u->seq = (struct seq){ .id = u->seq.id, .rank = u->seq.rank, .token = u->token,
                           .page = { u->page, u->window_page },
                           .n_prompt = n_prompt, .max_tokens = n_prompt + n_reply,
                           .fork_of = u->seq.fork_of,
                           .wants_every_logit = u->seq.wants_every_logit,
                           .computes_prompt = u->seq.computes_prompt };
    for (uint32_t i = 0; i < n_prompt; i++) u->token[i] = first + (int32_t)i;
    scheduler_add(b->scheduler, &u->seq);
}

static inline void check_audits(const struct bench *b)
{
    const char *wrong = scheduler_audit(b->scheduler);
    if (!wrong) wrong = kv_pool_audit(b->pool);
    if (!wrong && b->windows) wrong = kv_pool_audit(b->windows);
    if (!wrong && b->states) wrong = kv_pool_audit(b->states);
    if (wrong) fail_msg("%s", wrong);
}

static inline void compose(struct bench *b)
{
    b->step = *scheduler_compose(b->scheduler);
    check_audits(b);
}

/* Every output becomes a reply token, 1000 + its position; who is full leaves. */
static inline void commit(struct bench *b)
{
    scheduler_commit(b->scheduler);
    for (uint32_t i = 0; i < b->step.batch.n_outputs; i++) {
        struct seq *q = step_seq(&b->step, i);
        if (q->wants_every_logit) continue;
        q->token[q->n_tokens] = 1000 + (int32_t)q->n_tokens;
        if (++q->n_tokens == q->max_tokens) scheduler_remove(b->scheduler, q);
    }
    check_audits(b);
}

static inline void run_step(struct bench *b)
{
    compose(b);
    commit(b);
}

static inline void run_all(struct bench *b, struct user *u)
{
    while (u->seq.state != SEQ_GONE) run_step(b);
}

/* The i-th prompt of those that begin alike: for 96 tokens, of 230. */
static inline void run_beginning(struct bench *b, struct user *u, int32_t i)
{
    add(b, u, 0, 230, 1);
    for (uint32_t k = 96; k < 230; k++) u->token[k] = 10000 * (i + 1) + (int32_t)k;
    run_all(b, u);
}

/* The columns of a sequence in the composed step. */
static inline uint32_t cols_of(const struct bench *b, const struct user *u)
{
    for (uint32_t i = 0; i < b->step.batch.n_spans; i++)
        if (b->step.batch.span[i].page[0] == u->page) return b->step.batch.span[i].n_cols;
    return 0;
}

static const struct scheduler_params ample = { .n_slots = 4, .step_tokens = 64,
                                               .prefill_tokens = 32 };

#endif
