/* Scheduler: order of service, budgets, what is shared and when, what is given back. The simulator
 * (tests/sim) covers the combinations; here each rule stands alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/scheduler.h"

enum { TEST_TOKENS = 256, MAX_COPIES = 8 };

struct bench {
    struct kv_pool *pool;
    struct scheduler *scheduler;
    struct step step;
    uint32_t n_copies, copied_to[MAX_COPIES], copied_from[MAX_COPIES];
};

struct user {
    struct seq seq;
    int32_t token[TEST_TOKENS];
    uint32_t page[TEST_TOKENS / PAGE_TOKENS];
};

static void note_copy(void *arg, uint32_t to, uint32_t from)
{
    struct bench *b = arg;
    assert_in_range(b->n_copies, 0, MAX_COPIES - 1);
    b->copied_to[b->n_copies] = to;
    b->copied_from[b->n_copies++] = from;
}

static void open_bench(struct bench *b, uint32_t n_pages, struct scheduler_params params)
{
    pl_err err = { 0 };
    *b = (struct bench){ 0 };
    if (kv_pool_open(&b->pool, n_pages, &err) ||
        scheduler_open(&b->scheduler, &params, b->pool, note_copy, b, &err))
        fail_msg("%s", err.text);
}

static void close_bench(struct bench *b)
{
    scheduler_close(b->scheduler);
    kv_pool_close(b->pool);
}

/* A prompt that counts up from `first`. */
static void add(struct bench *b, struct user *u, int32_t first, uint32_t n_prompt, uint32_t n_reply)
{
    u->seq = (struct seq){ .token = u->token, .page = u->page, .n_prompt = n_prompt,
                           .max_tokens = n_prompt + n_reply, .fork_of = u->seq.fork_of,
                           .wants_every_logit = u->seq.wants_every_logit };
    for (uint32_t i = 0; i < n_prompt; i++) u->token[i] = first + (int32_t)i;
    scheduler_add(b->scheduler, &u->seq);
}

static void check_audits(const struct bench *b)
{
    const char *wrong = scheduler_audit(b->scheduler);
    if (!wrong) wrong = kv_pool_audit(b->pool);
    if (wrong) fail_msg("%s", wrong);
}

static void plan(struct bench *b)
{
    scheduler_plan(b->scheduler, &b->step);
    check_audits(b);
}

/* Every output becomes a reply token, 1000 + its position; who is full leaves. */
static void commit(struct bench *b)
{
    scheduler_commit(b->scheduler);
    for (uint32_t i = 0; i < b->step.batch.n_outs; i++) {
        struct seq *q = b->step.out_seq[i];
        if (q->wants_every_logit) continue;
        q->token[q->n_tokens] = 1000 + (int32_t)q->n_tokens;
        if (++q->n_tokens == q->max_tokens) scheduler_remove(b->scheduler, q);
    }
    check_audits(b);
}

static void run_step(struct bench *b)
{
    plan(b);
    commit(b);
}

/* The columns of a sequence in the planned step. */
static uint32_t cols_of(const struct bench *b, const struct user *u)
{
    for (uint32_t i = 0; i < b->step.batch.n_spans; i++)
        if (b->step.batch.span[i].page == u->page) return b->step.batch.span[i].n_cols;
    return 0;
}

static const struct scheduler_params ample = { .n_slots = 4, .step_tokens = 64,
                                               .prefill_tokens = 32 };

/* ---- open ----------------------------------------------------------------------------------- */

static void test_refuses_budgets_that_cannot_serve(void **state)
{
    (void)state;
    struct scheduler *s;
    pl_err err = { 0 };
    struct scheduler_params p = { .n_slots = 8, .step_tokens = 7, .prefill_tokens = 1 };
    assert_int_equal(scheduler_open(&s, &p, NULL, note_copy, NULL, &err), PL_E_PARAM);
    assert_null(s);
    assert_non_null(strstr(err.text, "7 tokens for 8 slots"));
    p = (struct scheduler_params){ .n_slots = 8, .step_tokens = 8 };
    assert_int_equal(scheduler_open(&s, &p, NULL, note_copy, NULL, &err), PL_E_PARAM);
    p = (struct scheduler_params){ .n_slots = 0, .step_tokens = 8, .prefill_tokens = 1 };
    assert_int_equal(scheduler_open(&s, &p, NULL, note_copy, NULL, &err), PL_E_PARAM);
    scheduler_close(NULL);
    assert_true(scheduler_bytes(&ample) > 64 * (4 + 4 + 4 + 4 + sizeof(void *)));
}

/* ---- order ---------------------------------------------------------------------------------- */

static void test_nothing_to_do(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 4, ample);
    plan(&b);
    assert_int_equal(b.step.batch.n_cols, 0);
    plan(&b); /* an empty step needs no commit */
    close_bench(&b);
}

static void test_one_request_from_prompt_to_end(void **state)
{
    (void)state;
    struct bench b;
    struct user u = { 0 };
    open_bench(&b, 4, ample);
    add(&b, &u, 0, 20, 3);
    assert_int_equal(scheduler_n_waiting(b.scheduler), 1);

    plan(&b);
    assert_int_equal(b.step.n_admitted, 1);
    assert_ptr_equal(b.step.admitted[0], &u.seq);
    assert_ptr_equal(scheduler_slot(b.scheduler, 0), &u.seq);
    assert_null(scheduler_slot(b.scheduler, 1));
    assert_null(scheduler_slot(b.scheduler, 99));
    assert_int_equal(b.step.batch.n_cols, 20);
    assert_int_equal(b.step.n_prefill_cols, 20);
    assert_int_equal(b.step.batch.n_outs, 1);
    assert_int_equal(b.step.batch.out_col[0], 19);
    assert_int_equal(b.step.out_pos[0], 19);
    assert_int_equal(u.seq.state, SEQ_PREFILL);
    commit(&b);
    assert_int_equal(u.seq.state, SEQ_DECODE);

    for (uint32_t pos = 20; pos < 22; pos++) {
        plan(&b);
        assert_int_equal(b.step.n_admitted, 0);
        assert_int_equal(b.step.n_decode_cols, 1);
        assert_int_equal(b.step.batch.n_cols, 1);
        assert_int_equal(b.step.batch.pos[0], pos);
        assert_int_equal(b.step.batch.token[0], 1000 + pos);
        commit(&b);
    }
    assert_int_equal(u.seq.state, SEQ_GONE);
    assert_int_equal(scheduler_n_running(b.scheduler), 0);
    assert_int_equal(kv_pool_counts(b.pool).n_held, 0);
    assert_int_equal(kv_pool_counts(b.pool).n_reserved, 0);
    close_bench(&b);
}

/* The second needs the whole pool; the third would fit at once, but came later. */
static void test_nobody_passes_the_head_of_the_line(void **state)
{
    (void)state;
    struct bench b;
    struct user first = { 0 }, large = { 0 }, small = { 0 };
    open_bench(&b, 8, ample);
    add(&b, &first, 0, 10, 4);
    add(&b, &large, 100, 100, 28);
    add(&b, &small, 300, 5, 2);
    for (int i = 0; i < 4; i++) {
        run_step(&b);
        assert_int_equal(large.seq.state, SEQ_WAITING);
        assert_int_equal(small.seq.state, SEQ_WAITING);
    }
    assert_int_equal(first.seq.state, SEQ_GONE);
    plan(&b);
    assert_int_equal(b.step.n_admitted, 1);
    assert_ptr_equal(b.step.admitted[0], &large.seq);
    commit(&b);
    scheduler_remove(b.scheduler, &large.seq);
    plan(&b);
    assert_ptr_equal(b.step.admitted[0], &small.seq);
    commit(&b);
    close_bench(&b);
}

static void test_slots_are_refilled_in_order(void **state)
{
    (void)state;
    struct bench b;
    struct user u[4] = { 0 };
    open_bench(&b, 32, (struct scheduler_params){ .n_slots = 2, .step_tokens = 64,
                                                  .prefill_tokens = 64 });
    for (int i = 0; i < 4; i++) add(&b, &u[i], 50 * i, 4, 8);
    run_step(&b);
    assert_int_equal(scheduler_n_running(b.scheduler), 2);
    scheduler_remove(b.scheduler, &u[0].seq);
    run_step(&b);
    assert_ptr_equal(scheduler_slot(b.scheduler, 0), &u[2].seq);
    assert_ptr_equal(scheduler_slot(b.scheduler, 1), &u[1].seq);
    assert_int_equal(u[3].seq.state, SEQ_WAITING);
    close_bench(&b);
}

/* ---- budgets -------------------------------------------------------------------------------- */

static void test_prompts_are_cut_to_the_budget(void **state)
{
    (void)state;
    struct bench b;
    struct user decoding = { 0 }, older = { 0 }, younger = { 0 };
    open_bench(&b, 40, ample);
    add(&b, &decoding, 0, 3, 50);
    run_step(&b);
    add(&b, &older, 100, 80, 2);
    add(&b, &younger, 300, 40, 2);

    static const uint32_t older_cols[] = { 32, 32, 16, 1 };
    static const uint32_t younger_cols[] = { 0, 0, 16, 24 };
    for (int i = 0; i < 4; i++) {
        plan(&b);
        assert_int_equal(b.step.n_decode_cols, i < 3 ? 1 : 2);
        assert_ptr_equal(b.step.batch.span[0].page, decoding.page);
        assert_int_equal(cols_of(&b, &older), older_cols[i]);
        assert_int_equal(cols_of(&b, &younger), younger_cols[i]);
        commit(&b);
    }
    close_bench(&b);
}

/* 1 + 32 columns cost as much as 40: 39 of a prompt of 78, and so two steps instead of three. */
static void test_prompts_fill_the_last_unit_of_columns(void **state)
{
    (void)state;
    struct bench b;
    struct user decoding = { 0 }, u = { 0 };
    struct scheduler_params in_eights = ample;
    in_eights.column_unit = 8;
    open_bench(&b, 40, in_eights);
    add(&b, &decoding, 0, 3, 50);
    run_step(&b);
    add(&b, &u, 100, 78, 2);
    for (int i = 0; i < 2; i++) {
        plan(&b);
        assert_int_equal(cols_of(&b, &u), 39);
        assert_int_equal(b.step.batch.n_cols, 40);
        commit(&b);
    }
    assert_int_equal(u.seq.state, SEQ_DECODE);
    close_bench(&b);
}

static void test_whole_step_for_prompts_when_nobody_decodes(void **state)
{
    (void)state;
    struct bench b;
    struct user u = { 0 };
    open_bench(&b, 40, ample);
    add(&b, &u, 0, 200, 2);
    plan(&b);
    assert_int_equal(b.step.n_prefill_cols, 64);
    commit(&b);
    close_bench(&b);
}

/* 40 columns a step and 100 tokens make 3 steps, ending at page borders as well. */
static void test_chunks_end_at_page_borders_where_it_is_free(void **state)
{
    (void)state;
    struct bench b;
    struct user free_of_cost = { 0 }, costly = { 0 };
    open_bench(&b, 40, (struct scheduler_params){ .n_slots = 1, .step_tokens = 40,
                                                  .prefill_tokens = 40 });
    add(&b, &free_of_cost, 0, 100, 1);
    static const uint32_t cols[] = { 32, 32, 36 };
    for (int i = 0; i < 3; i++) {
        plan(&b);
        assert_int_equal(b.step.batch.n_cols, cols[i]);
        commit(&b);
    }
    add(&b, &costly, 300, 120, 1); /* 3 times 40: no step to spare */
    for (int i = 0; i < 3; i++) {
        plan(&b);
        assert_int_equal(b.step.batch.n_cols, 40);
        commit(&b);
    }
    close_bench(&b);
}

/* A budget as tight as it gets: all decode but one, whose prompt still advances. */
static void test_prompts_always_advance(void **state)
{
    (void)state;
    struct bench b;
    struct user u[3] = { 0 };
    open_bench(&b, 40, (struct scheduler_params){ .n_slots = 3, .step_tokens = 3,
                                                  .prefill_tokens = 1 });
    add(&b, &u[0], 0, 1, 60);
    add(&b, &u[1], 100, 1, 60);
    run_step(&b);
    add(&b, &u[2], 200, 10, 5);
    for (int i = 0; i < 10; i++) {
        plan(&b);
        assert_int_equal(b.step.n_decode_cols, 2);
        assert_int_equal(b.step.n_prefill_cols, 1);
        commit(&b);
    }
    assert_int_equal(u[2].seq.state, SEQ_DECODE);
    close_bench(&b);
}

static void test_prefill_first_holds_replies_back(void **state)
{
    (void)state;
    struct bench b;
    struct user early = { 0 }, late = { 0 };
    open_bench(&b, 40, (struct scheduler_params){ .n_slots = 2, .step_tokens = 16,
                                                  .prefill_tokens = 4, .prefill_first = true });
    add(&b, &early, 0, 8, 9);
    add(&b, &late, 100, 40, 9);
    for (int i = 0; i < 3; i++) {
        plan(&b);
        assert_int_equal(b.step.n_decode_cols, 0);
        assert_int_equal(b.step.n_prefill_cols, 16);
        commit(&b);
    }
    plan(&b);
    assert_int_equal(b.step.n_decode_cols, 2);
    commit(&b);
    close_bench(&b);
}

static void test_score_wants_every_column(void **state)
{
    (void)state;
    struct bench b;
    struct user warm = { 0 }, score = { 0 };
    open_bench(&b, 40, ample);
    add(&b, &warm, 0, 48, 1);
    run_step(&b); /* its pages are in the index now: no use for a score */
    score.seq.wants_every_logit = true;
    score.seq.fork_of = NULL;
    add(&b, &score, 0, 80, 0);
    uint32_t n_outs = 0;
    while (score.seq.state != SEQ_DECODE) {
        plan(&b);
        for (uint32_t i = 0; i < b.step.batch.n_outs; i++)
            assert_int_equal(b.step.out_pos[i], n_outs++);
        commit(&b);
    }
    assert_int_equal(n_outs, 80);
    assert_int_equal(score.seq.n_cached, 0);
    scheduler_remove(b.scheduler, &score.seq);
    close_bench(&b);
}

/* ---- sharing -------------------------------------------------------------------------------- */

static void test_equal_prompts_share_pages(void **state)
{
    (void)state;
    struct bench b;
    struct user first = { 0 }, second = { 0 }, whole = { 0 };
    open_bench(&b, 40, ample);
    add(&b, &first, 0, 40, 30);
    run_step(&b);
    add(&b, &second, 0, 40, 30);
    add(&b, &whole, 0, 32, 30); /* two full pages: the second is computed again, for its logits */
    plan(&b);
    assert_int_equal(second.seq.n_cached, 32);
    assert_int_equal(cols_of(&b, &second), 8);
    assert_int_equal(second.page[0], first.page[0]);
    assert_int_equal(second.page[1], first.page[1]);
    assert_int_not_equal(second.page[2], first.page[2]);
    assert_int_equal(whole.seq.n_cached, 16);
    assert_int_equal(cols_of(&b, &whole), 16);
    assert_int_equal(kv_pool_n_refs(b.pool, first.page[0]), 3);
    assert_int_equal(b.n_copies, 0);
    commit(&b);
    close_bench(&b);
}

/* The next turn of a chat begins with the prompt and the reply of the last. */
static void test_replies_are_reused(void **state)
{
    (void)state;
    struct bench b;
    struct user first = { 0 }, next = { 0 };
    open_bench(&b, 40, ample);
    add(&b, &first, 0, 20, 30);
    while (first.seq.state != SEQ_GONE) run_step(&b);

    next.seq = (struct seq){ .token = next.token, .page = next.page, .n_prompt = 60,
                             .max_tokens = 70 };
    memcpy(next.token, first.token, 50 * sizeof *first.token);
    scheduler_add(b.scheduler, &next.seq);
    plan(&b);
    assert_int_equal(next.seq.n_cached, 48);
    commit(&b);
    close_bench(&b);
}

static void test_no_prefix_cache(void **state)
{
    (void)state;
    struct bench b;
    struct user first = { 0 }, second = { 0 }, fork = { 0 };
    struct scheduler_params p = ample;
    p.no_prefix_cache = true;
    open_bench(&b, 40, p);
    add(&b, &first, 0, 40, 30);
    run_step(&b);
    add(&b, &second, 0, 40, 30);
    fork.seq.fork_of = &first.seq;
    add(&b, &fork, 0, 40, 30);
    plan(&b);
    assert_int_equal(second.seq.n_cached, 0);
    assert_int_equal(fork.seq.n_cached, 39); /* asked for by name */
    commit(&b);
    for (int i = 0; i < 2; i++) run_step(&b);
    scheduler_remove(b.scheduler, &first.seq);
    scheduler_remove(b.scheduler, &second.seq);
    scheduler_remove(b.scheduler, &fork.seq);
    assert_int_equal(kv_pool_counts(b.pool).n_cached, 0);
    close_bench(&b);
}

/* Sharing held pages lets a request in that would not fit alone. */
static void test_shared_pages_need_no_memory(void **state)
{
    (void)state;
    struct bench b;
    struct user first = { 0 }, same = { 0 }, other = { 0 };
    open_bench(&b, 8, ample);
    add(&b, &first, 0, 65, 10); /* 5 pages, 4 of them full */
    while (first.seq.state != SEQ_DECODE) run_step(&b);
    add(&b, &other, 500, 65, 10);
    plan(&b);
    assert_int_equal(other.seq.state, SEQ_WAITING);
    commit(&b);
    scheduler_remove(b.scheduler, &other.seq);
    add(&b, &same, 0, 65, 10);
    plan(&b);
    assert_int_equal(same.seq.state, SEQ_PREFILL);
    assert_int_equal(same.seq.n_cached, 64);
    commit(&b);
    close_bench(&b);
}

/* Other content has the key of the request's first page: nothing is shared, nothing entered. */
static void test_hash_collision_ends_sharing(void **state)
{
    (void)state;
    struct bench b;
    struct user u = { 0 }, same = { 0 };
    int32_t prompt[PAGE_TOKENS], other[PAGE_TOKENS] = { 7 };
    open_bench(&b, 40, ample);
    for (int i = 0; i < PAGE_TOKENS; i++) prompt[i] = i;
    const struct prefix_key key = prefix_key_next((struct prefix_key){ { 0, 0 } }, prompt);
    assert_true(kv_pool_reserve(b.pool, 1));
    const uint32_t foreign = kv_pool_take(b.pool);
    assert_true(kv_pool_publish(b.pool, foreign, key, other));
    kv_pool_release(b.pool, foreign);

    add(&b, &u, 0, 40, 30);
    run_step(&b);
    assert_int_equal(u.seq.n_published, 0);
    add(&b, &same, 0, 40, 30);
    run_step(&b);
    assert_int_equal(same.seq.n_cached, 0);
    scheduler_remove(b.scheduler, &u.seq);
    scheduler_remove(b.scheduler, &same.seq);
    assert_int_equal(kv_pool_counts(b.pool).n_cached, 1);
    assert_int_equal(kv_pool_find(b.pool, key, other), foreign);
    close_bench(&b);
}

/* ---- fork ----------------------------------------------------------------------------------- */

static void test_fork_waits_then_shares(void **state)
{
    (void)state;
    struct bench b;
    struct user source = { 0 }, fork[2] = { 0 }, later = { 0 };
    open_bench(&b, 40, ample);
    add(&b, &source, 0, 100, 30);
    for (int i = 0; i < 2; i++) {
        fork[i].seq.fork_of = &source.seq;
        add(&b, &fork[i], 0, 100, 30);
    }
    add(&b, &later, 500, 4, 4);
    run_step(&b); /* 64 of 100 */
    assert_int_equal(scheduler_n_waiting(b.scheduler), 3);
    run_step(&b);
    assert_int_equal(source.seq.state, SEQ_DECODE);

    plan(&b);
    assert_int_equal(b.step.n_admitted, 3);
    assert_int_equal(b.n_copies, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fork[i].seq.n_cached, 99);
        assert_int_equal(cols_of(&b, &fork[i]), 1);
        for (int k = 0; k < 6; k++) assert_int_equal(fork[i].page[k], source.page[k]);
        assert_int_equal(b.copied_to[i], fork[i].page[6]);
        assert_int_equal(b.copied_from[i], source.page[6]);
        assert_int_not_equal(fork[i].page[6], source.page[6]);
        assert_null(fork[i].seq.fork_of);
    }
    assert_int_equal(kv_pool_n_refs(b.pool, source.page[5]), 3);
    commit(&b);
    for (int i = 0; i < 2; i++) assert_int_equal(fork[i].seq.state, SEQ_DECODE);
    close_bench(&b);
}

/* A prompt that ends with a page; one whose last token begins a page and needs no copy. */
static void test_fork_at_page_borders(void **state)
{
    (void)state;
    for (uint32_t n_prompt = 31; n_prompt <= 34; n_prompt++) {
        struct bench b;
        struct user source = { 0 }, fork = { 0 };
        open_bench(&b, 40, ample);
        add(&b, &source, 0, n_prompt, 30);
        fork.seq.fork_of = &source.seq;
        add(&b, &fork, 0, n_prompt, 30);
        run_step(&b);
        plan(&b);
        assert_int_equal(fork.seq.n_cached, n_prompt - 1);
        assert_int_equal(b.n_copies, n_prompt == 33 ? 0 : 1);
        commit(&b);
        close_bench(&b);
    }
}

static void test_fork_of_a_removed_source_goes_on(void **state)
{
    (void)state;
    struct bench b;
    struct user source = { 0 }, fork = { 0 };
    open_bench(&b, 40, ample);
    add(&b, &source, 0, 100, 10);
    fork.seq.fork_of = &source.seq;
    add(&b, &fork, 0, 100, 10);
    run_step(&b);
    assert_int_equal(fork.seq.state, SEQ_WAITING);
    scheduler_remove(b.scheduler, &source.seq);
    assert_null(fork.seq.fork_of);
    memset(&source, 0xee, sizeof source); /* nothing may look at it now */
    plan(&b);
    assert_int_equal(fork.seq.state, SEQ_PREFILL);
    assert_int_equal(fork.seq.n_cached, 64); /* what the source had entered into the index */
    commit(&b);
    close_bench(&b);
}

/* The source fills every slot: the fork gets its turn when it has left. */
static void test_fork_with_one_slot(void **state)
{
    (void)state;
    struct bench b;
    struct user source = { 0 }, fork = { 0 };
    open_bench(&b, 4, (struct scheduler_params){ .n_slots = 1, .step_tokens = 64,
                                                 .prefill_tokens = 64 });
    add(&b, &source, 0, 40, 5);
    fork.seq.fork_of = &source.seq;
    add(&b, &fork, 0, 40, 5);
    for (int i = 0; i < 5; i++) run_step(&b);
    assert_int_equal(source.seq.state, SEQ_GONE);
    for (int i = 0; i < 5; i++) run_step(&b);
    assert_int_equal(fork.seq.state, SEQ_GONE);
    close_bench(&b);
}

/* ---- removal -------------------------------------------------------------------------------- */

static void test_removal_in_every_state_gives_all_back(void **state)
{
    (void)state;
    struct bench b;
    struct user decoding = { 0 }, prefilling = { 0 }, waiting = { 0 };
    open_bench(&b, 40, (struct scheduler_params){ .n_slots = 2, .step_tokens = 8,
                                                  .prefill_tokens = 8, .no_prefix_cache = true });
    add(&b, &decoding, 0, 8, 50);
    run_step(&b);
    add(&b, &prefilling, 100, 60, 50);
    add(&b, &waiting, 200, 8, 8);
    run_step(&b);
    assert_int_equal(decoding.seq.state, SEQ_DECODE);
    assert_int_equal(prefilling.seq.state, SEQ_PREFILL);
    assert_int_equal(waiting.seq.state, SEQ_WAITING);

    scheduler_remove(b.scheduler, &waiting.seq);
    check_audits(&b);
    scheduler_remove(b.scheduler, &prefilling.seq);
    check_audits(&b);
    assert_int_equal(kv_pool_counts(b.pool).n_held, decoding.seq.n_pages);
    scheduler_remove(b.scheduler, &decoding.seq);
    check_audits(&b);
    assert_int_equal(kv_pool_counts(b.pool).n_free, 40);
    assert_int_equal(kv_pool_counts(b.pool).n_reserved, 0);
    assert_int_equal(waiting.seq.state, SEQ_GONE);
    plan(&b);
    assert_int_equal(b.step.batch.n_cols, 0);
    close_bench(&b);
}

/* Of a cached prefix the end goes first: what is left can still be found. */
static void test_cached_prefixes_lose_their_end_first(void **state)
{
    (void)state;
    struct bench b;
    struct user first = { 0 }, other = { 0 }, again = { 0 };
    open_bench(&b, 6, ample);
    add(&b, &first, 0, 65, 1);
    while (first.seq.state != SEQ_GONE) run_step(&b); /* 4 pages cached, 2 free */
    add(&b, &other, 500, 60, 1);
    while (other.seq.state != SEQ_GONE) run_step(&b); /* takes 4 */
    assert_int_equal(kv_pool_counts(b.pool).n_evicted, 2);
    add(&b, &again, 0, 65, 1);
    plan(&b);
    assert_int_equal(again.seq.n_cached, 32);
    commit(&b);
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refuses_budgets_that_cannot_serve),
        cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_one_request_from_prompt_to_end),
        cmocka_unit_test(test_nobody_passes_the_head_of_the_line),
        cmocka_unit_test(test_slots_are_refilled_in_order),
        cmocka_unit_test(test_prompts_are_cut_to_the_budget),
        cmocka_unit_test(test_prompts_fill_the_last_unit_of_columns),
        cmocka_unit_test(test_whole_step_for_prompts_when_nobody_decodes),
        cmocka_unit_test(test_chunks_end_at_page_borders_where_it_is_free),
        cmocka_unit_test(test_prompts_always_advance),
        cmocka_unit_test(test_prefill_first_holds_replies_back),
        cmocka_unit_test(test_score_wants_every_column),
        cmocka_unit_test(test_equal_prompts_share_pages),
        cmocka_unit_test(test_replies_are_reused),
        cmocka_unit_test(test_no_prefix_cache),
        cmocka_unit_test(test_shared_pages_need_no_memory),
        cmocka_unit_test(test_hash_collision_ends_sharing),
        cmocka_unit_test(test_fork_waits_then_shares),
        cmocka_unit_test(test_fork_at_page_borders),
        cmocka_unit_test(test_fork_of_a_removed_source_goes_on),
        cmocka_unit_test(test_fork_with_one_slot),
        cmocka_unit_test(test_removal_in_every_state_gives_all_back),
        cmocka_unit_test(test_cached_prefixes_lose_their_end_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
