/* Scheduler: order of service and budgets. The simulator (tests/sim) covers the combinations; here
 * each rule stands alone, as in test_scheduler_sharing.c. */
#include <string.h>

#include "unit/engine/scheduler_bench.h"

/* ---- open ----------------------------------------------------------------------------------- */

static void test_refuses_budgets_that_cannot_serve(void **state)
{
    (void)state;
    struct scheduler *s;
    pl_err err = { 0 };
    struct scheduler_params p = { .n_slots = 8, .step_tokens = 7, .prefill_tokens = 1 };
    assert_int_equal(scheduler_open(&s, &p, NULL, NULL, note_copy, NULL, &err), PL_E_PARAM);
    assert_null(s);
    assert_non_null(strstr(err.text, "7 tokens for 8 slots"));
    p = (struct scheduler_params){ .n_slots = 8, .step_tokens = 8 };
    assert_int_equal(scheduler_open(&s, &p, NULL, NULL, note_copy, NULL, &err), PL_E_PARAM);
    p = (struct scheduler_params){ .n_slots = 0, .step_tokens = 8, .prefill_tokens = 1 };
    assert_int_equal(scheduler_open(&s, &p, NULL, NULL, note_copy, NULL, &err), PL_E_PARAM);
    scheduler_close(NULL);
    assert_true(scheduler_bytes(&ample) > 64 * (4 + 4 + 4 + 4 + sizeof(void *)));
}

/* ---- order ---------------------------------------------------------------------------------- */

static void test_nothing_to_do(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 4, ample);
    compose(&b);
    assert_int_equal(b.step.batch.n_cols, 0);
    compose(&b); /* an empty step needs no commit */
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

    compose(&b);
    assert_int_equal(b.step.n_admitted, 1);
    assert_ptr_equal(b.step.admitted[0], &u.seq);
    assert_ptr_equal(scheduler_slot(b.scheduler, 0), &u.seq);
    assert_null(scheduler_slot(b.scheduler, 1));
    assert_null(scheduler_slot(b.scheduler, 99));
    assert_int_equal(b.step.batch.n_cols, 20);
    assert_int_equal(b.step.n_prefill_cols, 20);
    assert_int_equal(b.step.batch.n_outputs, 1);
    assert_int_equal(b.step.batch.n_rows, 1);
    assert_int_equal(b.step.batch.output[0].first_col, 19);
    assert_int_equal(b.step.batch.pos[19], 19);
    assert_int_equal(u.seq.state, SEQ_PREFILL);
    commit(&b);
    assert_int_equal(u.seq.state, SEQ_DECODE);

    for (uint32_t pos = 20; pos < 22; pos++) {
        compose(&b);
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

/* The second needs the whole pool: small ones pass it, with as many tokens as its own and no
 * more. */
static void test_the_head_lets_as_many_tokens_pass_as_it_wants(void **state)
{
    (void)state;
    struct bench b;
    struct user first = { 0 }, large = { 0 }, small[3] = { 0 };
    open_bench(&b, 8, ample);
    add(&b, &first, 0, 10, 22);
    add(&b, &large, 100, 100, 28);
    add(&b, &small[0], 300, 60, 3);
    add(&b, &small[1], 400, 60, 5);
    compose(&b);
    assert_int_equal(b.step.n_admitted, 2);
    assert_ptr_equal(b.step.admitted[0], &first.seq);
    assert_ptr_equal(b.step.admitted[1], &small[0].seq);
    commit(&b);
    run_all(&b, &small[0]);
    compose(&b);
    assert_ptr_equal(b.step.admitted[0], &small[1].seq); /* 63 + 65 of 128 */
    commit(&b);
    add(&b, &small[2], 500, 1, 1);
    while (first.seq.state != SEQ_GONE || small[1].seq.state != SEQ_GONE) {
        run_step(&b);
        assert_int_equal(large.seq.state, SEQ_WAITING);
        assert_int_equal(small[2].seq.state, SEQ_WAITING);
    }
    compose(&b);
    assert_int_equal(b.step.n_admitted, 1);
    assert_ptr_equal(b.step.admitted[0], &large.seq);
    commit(&b);
    scheduler_remove(b.scheduler, &large.seq);
    compose(&b);
    assert_ptr_equal(b.step.admitted[0], &small[2].seq);
    commit(&b);
    close_bench(&b);
}

/* The head leaves two pages of the pool to others: one that wants them passes at no cost, any
 * number of times; one that wants three does not when the head's tokens are used up. */
static void test_who_leaves_room_for_the_head_passes_freely(void **state)
{
    (void)state;
    struct bench b;
    struct user first = { 0 }, large = { 0 }, small = { 0 }, medium = { 0 };
    open_bench(&b, 8, ample);
    add(&b, &first, 0, 10, 60);     /* 5 pages: 3 are left */
    add(&b, &large, 100, 80, 16);   /* 6 pages */
    for (int i = 0; i < 10; i++) {
        add(&b, &small, 300 + 50 * i, 20, 2);
        compose(&b);
        assert_int_equal(small.seq.state, SEQ_PREFILL);
        commit(&b);
        run_all(&b, &small);
    }
    add(&b, &medium, 900, 40, 8);
    compose(&b);
    assert_int_equal(medium.seq.state, SEQ_PREFILL);    /* at cost: 48 of 96 */
    commit(&b);
    scheduler_remove(b.scheduler, &medium.seq);
    add(&b, &medium, 950, 41, 7);
    compose(&b);
    assert_int_equal(medium.seq.state, SEQ_PREFILL);    /* 96 of 96 */
    commit(&b);
    scheduler_remove(b.scheduler, &medium.seq);
    add(&b, &medium, 990, 40, 8);
    compose(&b);
    assert_int_equal(medium.seq.state, SEQ_WAITING);
    commit(&b);
    scheduler_remove(b.scheduler, &first.seq);
    compose(&b);
    assert_int_equal(large.seq.state, SEQ_PREFILL);
    assert_int_equal(medium.seq.state, SEQ_WAITING);    /* 2 pages are left */
    commit(&b);
    close_bench(&b);
}

/* One that waits for pages starts when what it wants is computed by another: nobody left. */
static void test_a_waiting_one_starts_when_its_pages_are_there(void **state)
{
    (void)state;
    struct bench b;
    struct user first = { 0 }, same = { 0 };
    open_bench(&b, 8, ample);
    add(&b, &first, 0, 90, 6);      /* 6 pages of 8 */
    run_step(&b);
    add(&b, &same, 0, 90, 22);      /* 7 pages: 4 of them are there, 1 too few for what is free */
    run_step(&b);
    assert_int_equal(same.seq.state, SEQ_WAITING);
    assert_int_equal(first.seq.state, SEQ_DECODE);
    compose(&b);
    assert_int_equal(same.seq.state, SEQ_PREFILL);
    assert_int_equal(same.seq.n_cached, 80);
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

/* Of 32 columns the younger gets a third: less than a page, so as it is. */
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

    static const uint32_t older_cols[] = { 22, 22, 22, 14, 1 };
    static const uint32_t younger_cols[] = { 10, 10, 10, 10, 1 };
    for (int i = 0; i < 5; i++) {
        compose(&b);
        assert_int_equal(b.step.n_decode_cols, i < 4 ? 1 : 3);
        assert_ptr_equal(b.step.batch.span[0].page[0], decoding.page);
        assert_int_equal(cols_of(&b, &older), older_cols[i]);
        assert_int_equal(cols_of(&b, &younger), younger_cols[i]);
        commit(&b);
    }
    close_bench(&b);
}

/* A third of 64, in whole pages, goes to those with least left: 5 and 11 of the 16 first. */
static void test_short_prompts_get_whole_pages_of_a_third(void **state)
{
    (void)state;
    struct bench b;
    struct user large = { 0 }, medium = { 0 }, small[2] = { 0 };
    open_bench(&b, 60, ample);
    add(&b, &large, 0, 200, 2);
    add(&b, &medium, 300, 80, 2);
    add(&b, &small[0], 500, 11, 2);
    add(&b, &small[1], 600, 5, 2);
    compose(&b);
    assert_int_equal(cols_of(&b, &large), 48);
    assert_int_equal(cols_of(&b, &medium), 0);
    assert_int_equal(cols_of(&b, &small[0]), 11);
    assert_int_equal(cols_of(&b, &small[1]), 5);
    commit(&b);
    for (int i = 0; i < 2; i++) assert_int_equal(small[i].seq.state, SEQ_DECODE);
    compose(&b); /* beside two: 32 columns */
    assert_int_equal(cols_of(&b, &large), 22);
    assert_int_equal(cols_of(&b, &medium), 10);
    commit(&b);
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
        compose(&b);
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
    compose(&b);
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
        compose(&b);
        assert_int_equal(b.step.batch.n_cols, cols[i]);
        commit(&b);
    }
    add(&b, &costly, 300, 120, 1); /* 3 times 40: no step to spare */
    for (int i = 0; i < 3; i++) {
        compose(&b);
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
        compose(&b);
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
        compose(&b);
        assert_int_equal(b.step.n_decode_cols, 0);
        assert_int_equal(b.step.n_prefill_cols, 16);
        commit(&b);
    }
    compose(&b);
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
        compose(&b);
        const struct output *o = b.step.batch.output;
        assert_int_equal(b.step.batch.n_outputs, 1);    /* all of a span's in one */
        assert_int_equal(o->first_row, 0);
        assert_int_equal(o->n_cols, b.step.batch.n_rows);
        for (uint32_t i = 0; i < o->n_cols; i++)
            assert_int_equal(b.step.batch.pos[o->first_col + i], n_outs++);
        commit(&b);
    }
    assert_int_equal(n_outs, 80);
    assert_int_equal(score.seq.n_cached, 0);
    scheduler_remove(b.scheduler, &score.seq);
    close_bench(&b);
}

/* Who wants its prompt computed gets it computed; those after it may share it. */
static void test_a_prompt_that_is_computed_all_the_same(void **state)
{
    (void)state;
    struct bench b;
    struct user warm = { 0 }, own = { 0 }, next = { 0 };
    open_bench(&b, 40, ample);
    add(&b, &warm, 0, 48, 30);
    run_step(&b);
    own.seq.computes_prompt = true;
    add(&b, &own, 0, 48, 30);
    while (own.seq.state != SEQ_DECODE) run_step(&b);
    assert_int_equal(own.seq.n_cached, 0);
    add(&b, &next, 0, 48, 30);
    while (next.seq.state != SEQ_DECODE) run_step(&b);
    assert_int_equal(next.seq.n_cached, 32);
    scheduler_remove(b.scheduler, &warm.seq);
    scheduler_remove(b.scheduler, &own.seq);
    scheduler_remove(b.scheduler, &next.seq);
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_prompt_that_is_computed_all_the_same),
        cmocka_unit_test(test_refuses_budgets_that_cannot_serve),
        cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_one_request_from_prompt_to_end),
        cmocka_unit_test(test_the_head_lets_as_many_tokens_pass_as_it_wants),
        cmocka_unit_test(test_who_leaves_room_for_the_head_passes_freely),
        cmocka_unit_test(test_a_waiting_one_starts_when_its_pages_are_there),
        cmocka_unit_test(test_slots_are_refilled_in_order),
        cmocka_unit_test(test_prompts_are_cut_to_the_budget),
        cmocka_unit_test(test_short_prompts_get_whole_pages_of_a_third),
        cmocka_unit_test(test_prompts_fill_the_last_unit_of_columns),
        cmocka_unit_test(test_whole_step_for_prompts_when_nobody_decodes),
        cmocka_unit_test(test_chunks_end_at_page_borders_where_it_is_free),
        cmocka_unit_test(test_prompts_always_advance),
        cmocka_unit_test(test_prefill_first_holds_replies_back),
        cmocka_unit_test(test_score_wants_every_column),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
