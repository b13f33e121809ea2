/* KV groups with a window: what is given back, what stays to be found, what a fork needs. */
#include "scheduler_bench.h"

enum { WINDOW = 40 };

static struct scheduler_params windowed(uint32_t n_slots)
{
    struct scheduler_params p = { .n_slots = n_slots, .step_tokens = 64, .prefill_tokens = 32,
                                  .chunk_pages = 2,
                                  .kv = { .n = 2, .group = { { .n_layers = 1 },
                                             { .window = WINDOW } } } };
    p.kv.group[1].n_pages = scheduler_window_pages(&p, WINDOW);
    return p;
}

static uint32_t n_held(const struct kv_pool *pool)
{
    return kv_pool_counts(pool).n_held;
}

/* The next position is `pos`: pages from the chunk on in which its window begins. */
static void check_held(const struct bench *b, const struct user *u, uint32_t pos)
{
    const uint32_t first = pos < WINDOW ? 0 : (pos - WINDOW + 1) / 32 * 2;
    assert_int_equal(u->seq.first_page[1], first);
    assert_int_equal(n_held(b->windows), u->seq.n_pages - first);
    assert_int_equal(n_held(b->pool), u->seq.n_pages);
    for (uint32_t i = 0; i < first; i++) assert_true(u->window_page[i] == NO_PAGE);
}

static void test_what_is_behind_is_given_back(void **state)
{
    (void)state;
    struct bench b;
    struct user u = { 0 };
    open_bench(&b, 20, windowed(1));
    add(&b, &u, 0, 150, 90);
    for (uint32_t pos = 0; u.seq.state != SEQ_GONE; pos = u.seq.n_issued) {
        compose(&b);
        if (b.step.batch.span[0].n_cols == 1) check_held(&b, &u, pos);
        assert_true(n_held(b.windows) <= 6 + 4);        /* its window, and a step's columns */
        commit(&b);
    }
    assert_int_equal(n_held(b.windows), 0);
    close_bench(&b);
}

/* Other prompts take the window's pages, but not those of places where one may go on. */
static void test_ends_of_prompts_stay(void **state)
{
    (void)state;
    struct bench b;
    struct user first = { 0 }, other = { 0 }, next = { 0 };
    open_bench(&b, 64, windowed(6));
    add(&b, &first, 0, 97, 60);
    run_all(&b, &first);
    for (int32_t i = 1; i < 4; i++) {
        add(&b, &other, 1000 * i, 200, 1);
        run_all(&b, &other);
        assert_int_equal(other.seq.n_cached, 0);
    }
    assert_true(kv_pool_counts(b.windows).n_evicted > 0);
    add(&b, &next, 0, 97 + 30, 1);      /* the same 97, then others than the reply */
    compose(&b);
    assert_int_equal(next.seq.n_cached, 96);
    check_held(&b, &next, 96);
    commit(&b);
    close_bench(&b);
}

/* Where a prompt began like one before, its window is kept as well: the second that begins so finds
 * that it is gone, the third finds it. */
static void test_common_beginnings_stay_once_they_are_seen(void **state)
{
    (void)state;
    struct bench b;
    struct user u = { 0 };
    static const uint32_t n_cached[] = { 0, 0, 96, 96 };
    open_bench(&b, 128, windowed(3));
    for (int32_t i = 0; i < 4; i++) {
        struct user other = { 0 };
        add(&b, &other, 1000 * (i + 5), 230, 1);
        run_all(&b, &other);
        run_beginning(&b, &u, i);
        assert_int_equal(u.seq.n_cached, n_cached[i]);
    }
    close_bench(&b);
}

/* Without the window's pages, what group 0 has is no use. */
static void test_a_prefix_wants_its_window(void **state)
{
    (void)state;
    struct bench b;
    struct user u = { 0 };
    open_bench(&b, 64, windowed(4));
    add(&b, &u, 0, 150, 1);
    run_all(&b, &u);
    const uint32_t n = kv_pool_counts(b.windows).n_pages;
    uint32_t taken[64];
    assert_true(n <= 64);
    assert_true(kv_pool_reserve(b.windows, n));
    for (uint32_t i = 0; i < n; i++) taken[i] = kv_pool_take(b.windows);
    for (uint32_t i = 0; i < n; i++) kv_pool_release(b.windows, taken[i]);
    add(&b, &u, 0, 150, 1);
    run_step(&b);
    assert_int_equal(u.seq.n_cached, 0);
    run_all(&b, &u);
    add(&b, &u, 0, 150, 1);     /* now it has both: held once more each */
    compose(&b);
    assert_int_equal(u.seq.n_cached, 144);
    commit(&b);
    close_bench(&b);
}

/* A fork takes its source's window, or computes the prompt again where that has moved on. */
static void test_forks(void **state)
{
    (void)state;
    for (uint32_t n_ahead = 0; n_ahead < 80; n_ahead += 20) {
        struct bench b;
        struct user source = { 0 }, fork = { 0 };
        open_bench(&b, 64, windowed(2));
        add(&b, &source, 0, 100, 100);
        while (source.seq.n_computed < 100 + n_ahead) run_step(&b);
        fork.seq.fork_of = &source.seq;
        add(&b, &fork, 0, 100, 100);
        compose(&b);
        const bool has_moved_on = source.seq.first_page[1] > (99 - WINDOW + 1) / 32 * 2;
        assert_int_equal(has_moved_on, n_ahead > 0);
        assert_int_equal(fork.seq.n_cached, has_moved_on ? 96 : 99);
        assert_int_equal(b.n_copies, !has_moved_on);
        if (!has_moved_on) assert_int_not_equal(fork.window_page[6], source.window_page[6]);
        commit(&b);
        run_all(&b, &fork);
        close_bench(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_behind_is_given_back),
        cmocka_unit_test(test_ends_of_prompts_stay),
        cmocka_unit_test(test_common_beginnings_stay_once_they_are_seen),
        cmocka_unit_test(test_a_prefix_wants_its_window),
        cmocka_unit_test(test_forks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
