/* States of streams: what is kept of them, who takes them up, and who waits for whom. */
#include <string.h>

#include "scheduler_bench.h"

static struct scheduler_params with_states(uint32_t n_slots)
{
    struct scheduler_params p = { .n_slots = n_slots, .step_tokens = 64, .prefill_tokens = 32,
                                  .kv = { .n = 1, .n_state_layers = 1 } };
    p.kv.n_states = scheduler_n_states(&p);
    return p;
}

static const struct span *span_of(const struct bench *b, const struct user *u)
{
    for (uint32_t i = 0; i < b->step.batch.n_spans; i++)
        if (b->step.batch.span[i].page[0] == u->page) return &b->step.batch.span[i];
    fail_msg("no span");
    return NULL;
}

/* It begins with nothing, stays in one place, and is kept inside of the span at the last page that
 * others may share: 96 of 100. */
static void test_a_state_is_kept_where_the_prompt_ends(void **state)
{
    (void)state;
    struct bench b;
    struct user u = { 0 }, again = { 0 };
    open_bench(&b, 64, with_states(1));
    add(&b, &u, 0, 100, 3);
    compose(&b);
    const uint32_t place = span_of(&b, &u)->state_to;
    assert_true(span_of(&b, &u)->state_from == NO_STATE);
    assert_true(span_of(&b, &u)->state_kept == NO_STATE);
    commit(&b);
    compose(&b);
    assert_int_equal(span_of(&b, &u)->state_from, place);
    assert_int_equal(span_of(&b, &u)->state_to, place);
    assert_int_equal(span_of(&b, &u)->n_kept_cols, 96 - 64);
    const uint32_t kept = span_of(&b, &u)->state_kept;
    assert_true(kept != place && kept != NO_STATE);
    commit(&b);
    run_all(&b, &u);
    assert_int_equal(kv_pool_counts(b.states).n_held, 0);
    assert_int_equal(kv_pool_counts(b.states).n_cached, 1);

    add(&b, &again, 0, 100, 1);
    compose(&b);
    assert_int_equal(again.seq.n_cached, 96);
    assert_int_equal(span_of(&b, &again)->state_from, kept);
    assert_true(span_of(&b, &again)->state_to != kept);     /* which others may take up again */
    commit(&b);
    close_bench(&b);
}

/* A chat's next turn goes on behind the last full page of the reply. */
static void test_the_next_turn_finds_the_reply(void **state)
{
    (void)state;
    struct bench b;
    struct user u = { 0 }, next = { 0 };
    open_bench(&b, 64, with_states(1));
    add(&b, &u, 0, 40, 60);
    run_all(&b, &u);            /* position 99 is never computed: 96 are in full pages */
    add(&b, &next, 0, 130, 1);
    memcpy(next.token, u.token, 100 * sizeof *u.token);
    compose(&b);
    assert_int_equal(next.seq.n_cached, 96);
    commit(&b);
    run_all(&b, &next);
    /* of the reply only the last is worth keeping, of both prompts the end */
    assert_int_equal(kv_pool_counts(b.states).n_held, 0);
    close_bench(&b);
}

/* Both begin alike for 80 tokens and come together: the second waits until the first has got there,
 * and computes none of them. */
static void test_equal_beginnings_are_read_once(void **state)
{
    (void)state;
    struct bench b;
    struct user first = { 0 }, second = { 0 };
    open_bench(&b, 64, with_states(2));
    add(&b, &first, 0, 200, 2);
    add(&b, &second, 0, 90, 2);
    for (uint32_t i = 80; i < 90; i++) second.token[i] = 5000 + (int32_t)i;
    while (second.seq.n_issued == 0) {
        compose(&b);
        if (second.seq.n_issued == 0) assert_int_equal(cols_of(&b, &second), 0);
        else assert_true(first.seq.n_computed >= 80);
        commit(&b);
    }
    assert_int_equal(second.seq.n_cached, 80);
    run_all(&b, &second);
    run_all(&b, &first);
    close_bench(&b);
}

/* Who waits for one that leaves reads the prompt itself. */
static void test_the_one_ahead_may_leave(void **state)
{
    (void)state;
    struct bench b;
    struct user first = { 0 }, second = { 0 };
    open_bench(&b, 64, with_states(2));
    add(&b, &first, 0, 200, 2);
    add(&b, &second, 0, 200, 2);
    run_step(&b);
    assert_int_equal(second.seq.n_issued, 0);
    scheduler_remove(b.scheduler, &first.seq);
    run_step(&b);
    assert_true(second.seq.n_issued > 0);
    run_all(&b, &second);
    assert_int_equal(second.seq.n_cached, 0);
    close_bench(&b);
}

/* Where the last part of a prompt differs each time, its beginning is kept once it was seen twice.
 */
static void test_common_beginnings_stay_once_they_are_seen(void **state)
{
    (void)state;
    struct bench b;
    struct user u = { 0 };
    static const uint32_t n_cached[] = { 0, 0, 96, 96 };
    open_bench(&b, 128, with_states(3));
    for (int32_t i = 0; i < 4; i++) {
        run_beginning(&b, &u, i);
        assert_int_equal(u.seq.n_cached, n_cached[i]);
    }
    close_bench(&b);
}

/* A fork finds what its source kept in the index. */
static void test_a_fork_goes_on_from_the_index(void **state)
{
    (void)state;
    struct bench b;
    struct user source = { 0 }, fork = { 0 };
    open_bench(&b, 64, with_states(2));
    add(&b, &source, 0, 100, 20);
    fork.seq.fork_of = &source.seq;
    add(&b, &fork, 0, 100, 20);
    run_all(&b, &fork);
    assert_int_equal(fork.seq.n_cached, 96);
    assert_int_equal(b.n_copies, 0);
    close_bench(&b);
}

static void test_without_a_prefix_cache_nothing_is_kept(void **state)
{
    (void)state;
    struct bench b;
    struct user u = { 0 };
    struct scheduler_params p = with_states(1);
    p.no_prefix_cache = true;
    open_bench(&b, 64, p);
    add(&b, &u, 0, 100, 40);
    while (u.seq.state != SEQ_GONE) {
        compose(&b);
        assert_true(span_of(&b, &u)->state_kept == NO_STATE);
        assert_int_equal(kv_pool_counts(b.states).n_held, 1);
        commit(&b);
    }
    assert_int_equal(kv_pool_counts(b.states).n_cached, 0);
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_state_is_kept_where_the_prompt_ends),
        cmocka_unit_test(test_the_next_turn_finds_the_reply),
        cmocka_unit_test(test_equal_beginnings_are_read_once),
        cmocka_unit_test(test_the_one_ahead_may_leave),
        cmocka_unit_test(test_common_beginnings_stay_once_they_are_seen),
        cmocka_unit_test(test_a_fork_goes_on_from_the_index),
        cmocka_unit_test(test_without_a_prefix_cache_nothing_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
