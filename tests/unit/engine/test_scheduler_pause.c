/* Pages run short: who is paused, what it keeps, and when it goes on. */
#include "unit/engine/scheduler_bench.h"

#include <string.h>

static const struct scheduler_params roomy = { .n_slots = 3, .step_tokens = 64,
                                               .prefill_tokens = 32, .growth_pages = 1 };

/* Three of 16 tokens each begin in a pool of 7 pages, which holds what they have and a page more
 * for each. `rank` in order of `users`. */
static void begin_three(struct bench *b, struct user *users, const int64_t *rank)
{
    open_bench(b, 7, roomy);
    for (int i = 0; i < 3; i++) {
        users[i] = (struct user){ .seq = { .id = (uint64_t)i, .rank = rank[i] } };
        add(b, &users[i], 10000 * i, 16, 80);
    }
    run_step(b);
    for (int i = 0; i < 3; i++) assert_int_equal(users[i].seq.state, SEQ_DECODE);
}

static void run_until_one_is_paused(struct bench *b)
{
    for (int i = 0; i < 100 && !scheduler_n_paused(b->scheduler); i++) run_step(b);
    assert_int_equal(scheduler_n_paused(b->scheduler), 1);
    assert_int_equal(scheduler_n_running(b->scheduler), 3);     /* it keeps its slot */
    assert_int_equal(scheduler_n_waiting(b->scheduler), 0);
}

static void test_the_last_by_rank_is_paused(void **state)
{
    (void)state;
    static const int64_t ranks[3][3] = { { 0, 0, 0 }, { 5, 5, -1 }, { 9, 1, 2 } };
    static const int last[] = { 2, 1, 0 };
    for (int k = 0; k < 3; k++) {
        static struct bench b;
        static struct user users[3];
        begin_three(&b, users, ranks[k]);
        run_until_one_is_paused(&b);
        struct seq *q = &users[last[k]].seq;
        assert_int_equal(q->state, SEQ_PAUSED);
        assert_ptr_equal(scheduler_slot(b.scheduler, q->slot), q);
        assert_int_equal(q->n_pages, 0);
        assert_int_equal(q->n_tokens, 33);      /* two pages each: the seventh is not enough */
        assert_int_equal(q->n_reached, 32);
        for (int i = 0; i < 3; i++) run_all(&b, &users[i]);
        for (int i = 0; i < 3; i++) assert_int_equal(users[i].seq.n_tokens, 96);
        close_bench(&b);
    }
}

/* What is computed again is what the index has lost, and of no prompt. */
static void test_it_goes_on_from_what_the_index_has(void **state)
{
    (void)state;
    static const int64_t rank[3] = { 0, 0, 0 };
    static struct bench b;
    static struct user users[3];
    uint32_t n_again = 0, n_prompt = 0, n_cols = 0;
    begin_three(&b, users, rank);
    run_until_one_is_paused(&b);
    struct seq *q = &users[2].seq;
    for (int i = 0; i < 10; i++) run_step(&b);      /* the others have three pages, one its own */
    for (int i = 0; i < 2; i++) scheduler_remove(b.scheduler, &users[i].seq);
    compose(&b);
    assert_int_equal(q->state, SEQ_PREFILL);
    assert_int_equal(q->n_prefill, 33);
    assert_int_equal(q->n_cached, 0);
    while (q->state == SEQ_PREFILL) {
        n_again += b.step.n_recomputed_cols;
        n_prompt += b.step.n_prompt_cols;
        n_cols += cols_of(&b, &users[2]);
        commit(&b);
        if (q->state == SEQ_PREFILL) compose(&b);
    }
    assert_int_equal(n_prompt, 0);
    assert_int_equal(n_again, 16);
    assert_int_equal(n_cols, 16 + 1);   /* its next token's */
    assert_int_equal(q->n_tokens, 34);
    run_all(&b, &users[2]);
    close_bench(&b);
}

/* Whose reader is slow is paused before younger ones, and does not go on before its reader does. */
static void test_a_slow_readers_stream_is_paused_first(void **state)
{
    (void)state;
    static const int64_t rank[3] = { 0, 0, 0 };
    static struct bench b;
    static struct user users[3];
    begin_three(&b, users, rank);
    for (int i = 0; i < 4; i++) run_step(&b);
    scheduler_stall(b.scheduler, &users[0].seq, true);
    run_until_one_is_paused(&b);
    assert_int_equal(users[0].seq.state, SEQ_PAUSED);
    run_all(&b, &users[1]);
    run_all(&b, &users[2]);
    compose(&b);
    assert_int_equal(b.step.batch.n_cols, 0);
    assert_int_equal(users[0].seq.state, SEQ_PAUSED);
    scheduler_stall(b.scheduler, &users[0].seq, false);
    run_all(&b, &users[0]);
    close_bench(&b);
}

/* The head of the line wants pages that a slow reader's stream has no use for. */
static void test_a_slow_reader_makes_room_for_the_head_of_the_line(void **state)
{
    (void)state;
    static struct bench b;
    static struct user slow, head;
    open_bench(&b, 8, roomy);
    add(&b, &slow, 0, 80, 48);
    while (slow.seq.state != SEQ_DECODE) run_step(&b);
    scheduler_stall(b.scheduler, &slow.seq, true);
    head.seq.id = 1;
    add(&b, &head, 500, 100, 20);
    run_all(&b, &head);
    assert_int_equal(slow.seq.state, SEQ_PAUSED);
    scheduler_stall(b.scheduler, &slow.seq, false);
    run_all(&b, &slow);
    assert_int_equal(slow.seq.n_tokens, 128);
    close_bench(&b);
}

/* Who is paused leaves: its slot is another's. */
static void test_a_paused_one_leaves(void **state)
{
    (void)state;
    static const int64_t rank[3] = { 0, 0, 0 };
    static struct bench b;
    static struct user users[3], next;
    begin_three(&b, users, rank);
    run_until_one_is_paused(&b);
    add(&b, &next, 7000, 5, 3);
    compose(&b);
    assert_int_equal(next.seq.state, SEQ_WAITING);
    commit(&b);
    scheduler_remove(b.scheduler, &users[2].seq);
    check_audits(&b);
    assert_int_equal(scheduler_n_paused(b.scheduler), 0);
    scheduler_remove(b.scheduler, &users[1].seq);
    run_all(&b, &next);
    run_all(&b, &users[0]);
    close_bench(&b);
}

/* A step in flight is not paused under: none is composed on top that wants more than there is. */
static void test_no_step_runs_ahead_that_wants_pages(void **state)
{
    (void)state;
    static const int64_t rank[3] = { 0, 0, 0 };
    static struct bench b;
    static struct user users[3];
    begin_three(&b, users, rank);
    bool was_refused = false;
    run_step(&b);               /* so that the second of two is the one that wants a page */
    for (int i = 0; i < 100 && !scheduler_n_paused(b.scheduler); i++) {
        compose(&b);
        const bool may = scheduler_may_run_ahead(b.scheduler);
        commit(&b);
        compose(&b);
        assert_true(may == !b.step.n_paused);
        was_refused |= !may;
        commit(&b);
    }
    assert_true(was_refused);
    assert_int_equal(scheduler_n_paused(b.scheduler), 1);
    for (int i = 0; i < 3; i++) run_all(&b, &users[i]);
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_last_by_rank_is_paused),
        cmocka_unit_test(test_it_goes_on_from_what_the_index_has),
        cmocka_unit_test(test_a_slow_readers_stream_is_paused_first),
        cmocka_unit_test(test_a_slow_reader_makes_room_for_the_head_of_the_line),
        cmocka_unit_test(test_a_paused_one_leaves),
        cmocka_unit_test(test_no_step_runs_ahead_that_wants_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
