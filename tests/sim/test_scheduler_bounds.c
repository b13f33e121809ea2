/* How long anybody waits at most, and what is computed at most: the scheduler's L and P rules
 * against those who would break them, over many machines. Steps are counted, not time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "engine/scheduler.h"

enum { LONG = 6000, N_USERS = 24, N_SEEDS = 60 };

struct user {
    struct seq seq;
    bool is_there;
    uint64_t added_step;
    uint32_t n_prompt_cols;
    int32_t token[LONG + 200];
    uint32_t page[(LONG + 200) / PAGE_TOKENS + 1];
};

struct bench {
    struct rng rng;
    struct scheduler_params params;
    struct kv_pool *pool;
    struct scheduler *scheduler;
    bool runs_ahead;
    uint64_t n_steps, n_prompt_cols;
    uint64_t n_budget;          /* prompt columns that all steps had room for */
    int32_t next_token;         /* no prompt begins like another unless it is made so */
    struct user user[N_USERS];
};

static uint32_t between(struct bench *b, uint32_t low, uint32_t high)
{
    return low + (uint32_t)rng_below(&b->rng, (uint64_t)high - low + 1);
}

static void note_copy(void *arg, uint32_t kv_group, uint32_t to, uint32_t from)
{
    (void)kv_group;
    (void)arg, (void)to, (void)from;
}

static struct bench *open_bench(uint64_t seed, uint32_t n_pages)
{
    static const uint32_t steps[] = { 48, 64, 100, 256, 512 }, beside[] = { 16, 32, 50, 64, 256 };
    struct bench *b = calloc(1, sizeof *b);
    pl_err err = { 0 };
    assert_non_null(b);
    rng_seed(&b->rng, seed);
    b->params = (struct scheduler_params){ .n_slots = between(b, 4, 12),
                                           .step_tokens = steps[between(b, 0, 4)],
                                           .prefill_tokens = beside[between(b, 0, 4)],
                                           .column_unit = between(b, 0, 1) ? 1 : 8,
                                           .score_tokens = 16 };
    b->runs_ahead = between(b, 0, 1);
    if (kv_pool_open(&b->pool, n_pages, &err) ||
        scheduler_open(&b->scheduler, &b->params, &b->pool, NULL, note_copy, NULL, &err))
        fail_msg("%s", err.text);
    return b;
}

static void close_bench(struct bench *b)
{
    scheduler_close(b->scheduler);
    kv_pool_close(b->pool);
    free(b);
}

static void audit(struct bench *b)
{
    const char *wrong = scheduler_audit(b->scheduler);
    if (!wrong) wrong = kv_pool_audit(b->pool);
    if (wrong) fail_msg("step %llu: %s", (unsigned long long)b->n_steps, wrong);
}

/* Its first n_common tokens are those of `like`; NULL: all its own. */
static void add(struct bench *b, struct user *u, uint32_t n_prompt, uint32_t n_reply,
                const struct user *like, uint32_t n_common)
{
    u->seq = (struct seq){ .id = b->n_steps, .token = u->token, .page = { u->page },
                           .n_prompt = n_prompt, .max_tokens = n_prompt + n_reply,
                           .wants_every_logit = u->seq.wants_every_logit };
    if (like) memcpy(u->token, like->token, n_common * sizeof *u->token);
    for (uint32_t i = like ? n_common : 0; i < n_prompt; i++) u->token[i] = b->next_token++;
    u->is_there = true;
    u->added_step = b->n_steps;
    u->n_prompt_cols = 0;
    scheduler_add(b->scheduler, &u->seq);
}

static void leave(struct bench *b, struct user *u)
{
    scheduler_remove(b->scheduler, &u->seq);
    u->is_there = u->seq.wants_every_logit = false;
}

static void launch(struct bench *b)
{
    const struct step *step = scheduler_compose(b->scheduler);
    audit(b);
    if (!step->batch.n_cols) return;
    const uint32_t n = step->n_decode_cols, unit = b->params.column_unit;
    uint32_t budget = b->params.step_tokens - n;
    const uint32_t beside = (n + b->params.prefill_tokens + unit - 1) / unit * unit - n;
    b->n_budget += n && beside < budget ? beside : budget;
}

static void land(struct bench *b)
{
    const struct step step = *scheduler_step(b->scheduler, 0);
    b->n_steps++;
    b->n_prompt_cols += step.n_prefill_cols;
    scheduler_commit(b->scheduler);
    for (uint32_t i = step.n_decode_cols; i < step.batch.n_spans; i++)
        if (step.span_seq[i])
            ((struct user *)step.span_seq[i])->n_prompt_cols += step.batch.span[i].n_cols;
    for (uint32_t i = 0; i < step.batch.n_outputs; i++) {
        const struct output *o = &step.batch.output[i];
        struct seq *q = step_seq(&step, i);
        if (!q) continue;
        if (!q->wants_every_logit) q->token[q->n_tokens++] = b->next_token++;
        if (q->n_tokens == q->max_tokens && step.batch.pos[o->first_col] + o->n_cols >= q->n_prompt)
            leave(b, (struct user *)q);
    }
    audit(b);
}

static void tick(struct bench *b)
{
    if (!scheduler_n_in_flight(b->scheduler)) launch(b);
    if (b->runs_ahead && scheduler_may_run_ahead(b->scheduler)) launch(b);
    if (scheduler_n_in_flight(b->scheduler)) land(b);
}

static bool is_anyone_there(const struct bench *b)
{
    for (int i = 0; i < N_USERS; i++)
        if (b->user[i].is_there) return true;
    return false;
}

/* ---- P1, P2: long prompts and short ones ---------------------------------------------------- */

/* A long prompt, and short ones that come whenever there is a slot. */
static void test_a_long_prompt_takes_at_most_half_as_long_again(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
        struct bench *b = open_bench(seed, 4000);
        struct user *large = &b->user[0];
        const uint32_t n_prompt = between(b, 1000, LONG), longest = between(b, 1, 300);
        add(b, large, n_prompt, 2, NULL, 0);
        while (large->seq.state != SEQ_DECODE) {
            for (uint32_t i = 1; i < N_USERS; i++)
                if (!b->user[i].is_there)
                    add(b, &b->user[i], between(b, 1, longest), between(b, 1, 4), NULL, 0);
            tick(b);
            if (b->n_steps > 10000) fail_msg("seed %llu: it starves", (unsigned long long)seed);
        }
        /* a last step that it needs in part, and one in flight */
        const uint64_t slack = 2 * b->params.step_tokens;
        if (b->n_budget > (uint64_t)n_prompt * 3 / 2 + slack)
            fail_msg("seed %llu: %u tokens took steps with room for %llu", (unsigned long long)seed,
                     n_prompt, (unsigned long long)b->n_budget);
        close_bench(b);
    }
}

/* Short prompts that come together behind a long one are read out of a third of each step, the
 * shortest first. */
static void test_short_prompts_are_read_within_a_few_steps(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
        struct bench *b = open_bench(seed, 4000);
        const uint32_t n_short = between(b, 1, b->params.n_slots - 1);
        uint32_t n_left = 0;
        add(b, &b->user[0], LONG, 2, NULL, 0);
        for (int i = 0; i < 3; i++) tick(b);
        for (uint32_t i = 1; i <= n_short; i++) {
            const uint32_t n = between(b, 1, 60);
            add(b, &b->user[i], n, 100, NULL, 0);
            n_left += n;
        }
        /* each may leave the last column of a share unused; those done decode beside */
        const uint32_t smallest = b->params.prefill_tokens < b->params.step_tokens - n_short
                                      ? b->params.prefill_tokens : b->params.step_tokens - n_short;
        const uint32_t third = smallest / 3;
        const uint32_t share = third < PAGE_TOKENS ? third : third / PAGE_TOKENS * PAGE_TOKENS;
        const uint32_t bound = n_left / share + 2 + b->runs_ahead * MAX_IN_FLIGHT;
        for (uint32_t i = 0; i < bound; i++) tick(b);
        for (uint32_t i = 1; i <= n_short; i++)
            if (b->user[i].seq.state != SEQ_DECODE)
                fail_msg("seed %llu: %u of %u tokens after %u steps, share %u",
                         (unsigned long long)seed, b->user[i].seq.n_computed,
                         b->user[i].seq.n_prompt, bound, share);
        assert_int_equal(b->user[0].seq.state, SEQ_PREFILL);
        close_bench(b);
    }
}

/* A budget of one column, as tight as it gets. */
static void test_a_budget_without_a_third_is_shared_in_turns(void **state)
{
    (void)state;
    struct bench *b = open_bench(1, 4000);
    scheduler_close(b->scheduler);
    pl_err err;
    b->params = (struct scheduler_params){ .n_slots = 4, .step_tokens = 4, .prefill_tokens = 1,
                                           .column_unit = 1 };
    b->runs_ahead = false;
    assert_int_equal(scheduler_open(&b->scheduler, &b->params, &b->pool,
                     NULL, note_copy, NULL, &err), 0);
    add(b, &b->user[0], 1, 900, NULL, 0);
    tick(b);
    add(b, &b->user[1], 100, 1, NULL, 0);
    add(b, &b->user[2], 5, 1, NULL, 0);
    while (b->user[2].is_there) tick(b);
    assert_in_range(b->n_steps, 14, 17);
    while (b->user[1].is_there) tick(b);
    assert_in_range(b->n_steps, 105, 108);
    close_bench(b);
}

/* ---- L2, L3: the head of the line ----------------------------------------------------------- */

/* One runs; the head's prompt wants most or all of the pool; small ones come without end. The head
 * starts when that one has ended, those of L3 have, and one that has the slot. */
static void test_the_head_of_the_line_does_not_starve(void **state)
{
    (void)state;
    enum { POOL = 64, REPLY = 40 };
    for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
        struct bench *b = open_bench(seed, POOL);
        struct user *first = &b->user[0], *head = &b->user[1];
        const uint32_t n_first = between(b, 1, POOL / 2) * PAGE_TOKENS;
        const uint32_t n_head = (POOL - between(b, 0, POOL / 2 - 1)) * PAGE_TOKENS;
        add(b, first, n_first / 2, n_first / 2, NULL, 0);
        tick(b);
        add(b, head, n_head - 20, 20, NULL, 0);
        uint32_t n_passed = 0;
        while (head->seq.state == SEQ_WAITING) {
            for (uint32_t i = 2; i < N_USERS; i++)
                if (!b->user[i].is_there)
                    add(b, &b->user[i], between(b, 1, 30), between(b, 1, REPLY), NULL, 0);
            tick(b);
            for (uint32_t i = 2; i < N_USERS; i++)
                n_passed += b->user[i].is_there && b->user[i].seq.state != SEQ_WAITING;
            if (b->n_steps > 2ull * (n_first + n_head + 70) + 50)
                fail_msg("seed %llu: the head of %u tokens starves behind one of %u",
                         (unsigned long long)seed, n_head, n_first);
        }
        if (n_first / 2 + n_head > POOL * PAGE_TOKENS) assert_true(n_passed > 0);
        close_bench(b);
    }
}

/* Several large ones wait; the small ones behind them all need not. */
static void test_small_ones_pass_several_that_wait(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
        struct bench *b = open_bench(seed, 64);
        add(b, &b->user[0], 30 * PAGE_TOKENS, 200, NULL, 0);
        tick(b);
        for (int i = 1; i <= 3; i++) add(b, &b->user[i], 50 * PAGE_TOKENS, 20, NULL, 0);
        for (int i = 4; i <= 6; i++) add(b, &b->user[i], 10, 3, NULL, 0);
        for (int i = 0; i < 12; i++) tick(b);
        for (int i = 4; i <= 6; i++) assert_false(b->user[i].is_there);
        for (int i = 1; i <= 3; i++) assert_int_equal(b->user[i].seq.state, SEQ_WAITING);
        while (is_anyone_there(b)) tick(b);
        close_bench(b);
    }
}

/* All that they may write is ten times what there is; what they need now is there. They run side by
 * side until it is not, and then each ends, the first as if it had been alone. */
static void test_replies_longer_than_the_pool_run_side_by_side(void **state)
{
    (void)state;
    enum { N = 4, POOL = 64, REPLY = POOL * PAGE_TOKENS - 64 };
    for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
        struct bench *b = open_bench(seed, POOL);
        uint64_t n_paused = 0;
        for (int i = 0; i < N; i++) add(b, &b->user[i], between(b, 1, 60), REPLY, NULL, 0);
        for (int i = 0; i < 12; i++) tick(b);
        for (int i = 0; i < N; i++) assert_int_equal(b->user[i].seq.state, SEQ_DECODE);
        const uint64_t n_alone = b->n_steps + REPLY;
        while (b->user[0].is_there) {
            tick(b);
            n_paused += scheduler_n_paused(b->scheduler) > 0;
        }
        assert_true(b->n_steps <= n_alone);
        assert_true(n_paused > 0);
        while (is_anyone_there(b)) tick(b);
        assert_true(b->n_steps < N * (uint64_t)REPLY);
        close_bench(b);
    }
}

/* A fork waits for its source's prompt; those behind it do not. */
static void test_a_fork_that_waits_blocks_nobody(void **state)
{
    (void)state;
    struct bench *b = open_bench(3, 4000);
    add(b, &b->user[0], LONG, 2, NULL, 0);
    b->user[1].seq.fork_of = NULL;
    memcpy(b->user[1].token, b->user[0].token, LONG * sizeof *b->user[0].token);
    b->user[1].seq = (struct seq){ .token = b->user[1].token, .page = { b->user[1].page },
                                   .n_prompt = LONG, .max_tokens = LONG + 2,
                                   .fork_of = &b->user[0].seq };
    b->user[1].is_there = true;
    scheduler_add(b->scheduler, &b->user[1].seq);
    add(b, &b->user[2], 5, 2, NULL, 0);
    for (int i = 0; i < 8; i++) tick(b);
    assert_false(b->user[2].is_there);
    assert_int_equal(b->user[1].seq.state, SEQ_WAITING);
    while (is_anyone_there(b)) tick(b);
    assert_int_equal(b->user[1].seq.n_cached, LONG - 1);
    close_bench(b);
}

/* ---- P3: computed once ---------------------------------------------------------------------- */

/* Some that begin alike come together, with ends of their own, before and after an unlike one.
 * Leaders may leave half-way: what they had in flight is lost, and no more. */
static void test_equal_beginnings_are_computed_once(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
        struct bench *b = open_bench(seed, 4000);
        const uint32_t n = b->params.n_slots - 1, n_common = between(b, 1, 1500);
        const bool is_left = between(b, 0, 1);
        uint64_t n_most = n_common;
        for (uint32_t i = 0; i < n; i++) {
            const uint32_t n_own = between(b, 1, 90);
            add(b, &b->user[i], n_common + n_own, 3, i ? &b->user[0] : NULL, n_common);
            n_most += n_own + PAGE_TOKENS;      /* pages begin with the common end */
        }
        if (is_left) {
            for (uint32_t k = between(b, 1, 6); k; k--) tick(b);
            if (b->user[0].is_there) leave(b, &b->user[0]);
            n_most += MAX_IN_FLIGHT * (b->params.step_tokens + PAGE_TOKENS);
        }
        while (is_anyone_there(b)) tick(b);
        if (b->n_prompt_cols > n_most)
            fail_msg("seed %llu: %u prompts with %u tokens in common: %llu computed, at most %llu",
                     (unsigned long long)seed, n, n_common, (unsigned long long)b->n_prompt_cols,
                     (unsigned long long)n_most);
        for (uint32_t i = is_left; i < n; i++)
            assert_int_equal(b->user[i].n_prompt_cols + b->user[i].seq.n_cached,
                             b->user[i].seq.n_prompt);
        close_bench(b);
    }
}

/* Waiting for another's pages costs no step more than a few for the ends: all are done soon after
 * one alone would be. */
static void test_waiting_for_pages_costs_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
        uint64_t n_steps[2];
        for (int many = 0; many < 2; many++) {
            struct bench *b = open_bench(seed, 4000);
            const uint32_t n = many ? b->params.n_slots - 1 : 1;
            for (uint32_t i = 0; i < n; i++)
                add(b, &b->user[i], 2000, 1, i ? &b->user[0] : NULL, 2000);
            while (is_anyone_there(b)) tick(b);
            n_steps[many] = b->n_steps;
            /* the last page of each is its own, beside nobody that decodes */
            n_steps[1] -= many ? (n * PAGE_TOKENS) / (b->params.step_tokens / 3) : 0;
            close_bench(b);
        }
        if (n_steps[1] > n_steps[0] + 4)
            fail_msg("seed %llu: %llu steps instead of %llu", (unsigned long long)seed,
                     (unsigned long long)n_steps[1], (unsigned long long)n_steps[0]);
    }
}

/* A score computes every column and no faster than score_tokens: nobody keeps to its pace. */
static void test_nobody_waits_for_a_slow_one(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
        struct bench *b = open_bench(seed, 4000);
        struct user *score = &b->user[0], *same = &b->user[1];
        score->seq.wants_every_logit = true;
        add(b, score, 2000, 0, NULL, 0);
        add(b, same, 2000, 1, score, 2000);
        while (same->is_there) tick(b);
        /* it has all that the score does not take, and it began with the score */
        const uint32_t n_cols = b->params.step_tokens - 16;
        const uint32_t bound = 2000 / (n_cols - PAGE_TOKENS + 1) + 4;
        if (b->n_steps > bound)
            fail_msg("seed %llu: %llu steps, bound %u, steps of %u", (unsigned long long)seed,
                     (unsigned long long)b->n_steps, bound, b->params.step_tokens);
        while (score->is_there) tick(b);
        assert_int_equal(score->n_prompt_cols, 2000);
        close_bench(b);
    }
}

/* What is computed twice after all is kept once: the score and the other hold the same pages. */
static void test_duplicates_are_merged(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
        struct bench *b = open_bench(seed, 4000);
        struct user *score = &b->user[0], *same = &b->user[1];
        score->seq.wants_every_logit = true;
        add(b, score, 500, 0, NULL, 0);
        add(b, same, 500, 200, score, 500);
        while (score->seq.n_computed < 400) tick(b);
        if (same->seq.n_computed < 400) continue;
        assert_memory_equal(score->page, same->page, 400 / PAGE_TOKENS * sizeof *same->page);
        while (is_anyone_there(b)) tick(b);
        close_bench(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_long_prompt_takes_at_most_half_as_long_again),
        cmocka_unit_test(test_short_prompts_are_read_within_a_few_steps),
        cmocka_unit_test(test_a_budget_without_a_third_is_shared_in_turns),
        cmocka_unit_test(test_the_head_of_the_line_does_not_starve),
        cmocka_unit_test(test_small_ones_pass_several_that_wait),
        cmocka_unit_test(test_replies_longer_than_the_pool_run_side_by_side),
        cmocka_unit_test(test_a_fork_that_waits_blocks_nobody),
        cmocka_unit_test(test_equal_beginnings_are_computed_once),
        cmocka_unit_test(test_waiting_for_pages_costs_nothing),
        cmocka_unit_test(test_nobody_waits_for_a_slow_one),
        cmocka_unit_test(test_duplicates_are_merged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
