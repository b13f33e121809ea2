/* How long a step may take before it is a fault, by a clock of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/step_watch.h"

static const uint64_t second = 1000000000;

static double work_of(uint32_t n_cols, uint32_t first_pos)
{
    const struct span span = { .n_cols = n_cols, .first_pos = first_pos };
    return step_watch_work(&(struct batch){ .n_cols = n_cols, .n_spans = 1, .span = &span });
}

/* The end of what is allowed to a step begun at 0, in whole seconds. */
static uint64_t allowed_s(struct step_watch *w, double work)
{
    uint64_t s = 0;
    step_watch_begin(w, work, 0);
    while (s < 1000000 && step_watch_is_well(w, s * second)) s++;
    return s;
}

static void test_work_is_columns_and_how_far_they_look(void **state)
{
    (void)state;
    assert_true(work_of(1, 0) == 16 && work_of(16, 0) < 17); /* the weights are read for one, too */
    assert_true(work_of(256, 0) > 256 && work_of(256, 0) < 300);
    assert_true(work_of(256, 102400) > 100 * 256);
    const struct span two[] = { { .n_cols = 100 }, { .n_cols = 100, .first_pos = 1024 } };
    const double both =
        step_watch_work(&(struct batch){ .n_cols = 200, .n_spans = 2, .span = two });
    assert_true(both > work_of(100, 0) + work_of(100, 1024) - 1e-6);
}

static void test_nothing_runs(void **state)
{
    (void)state;
    struct step_watch w = { 0 };
    assert_true(step_watch_is_well(&w, 0));
    assert_true(step_watch_is_well(&w, UINT64_MAX));
}

/* Before any step was measured even a huge first one has its time, and still an end to it. */
static void test_the_first_step(void **state)
{
    (void)state;
    struct step_watch w = { 0 };
    assert_int_equal(allowed_s(&w, work_of(1, 0)), 32);
    assert_in_range(allowed_s(&w, work_of(6990, 0)), 2 * 6990, 10 * 6990);
}

/* 5 ms a column: 8192 take 41 s, which is no fault; a step of 256 that takes 31 s is. */
static void test_large_steps_have_longer(void **state)
{
    (void)state;
    struct step_watch w = { 0 };
    const double work = work_of(256, 0);
    step_watch_begin(&w, work, 0);
    step_watch_measure(&w, work, 256 * second / 200);
    step_watch_rest(&w);
    assert_true(step_watch_is_well(&w, 1000 * second));
    assert_int_equal(allowed_s(&w, work), 30);      /* the floor */
    assert_int_equal(allowed_s(&w, work_of(1, 0)), 30);
    assert_in_range(allowed_s(&w, work_of(8192, 0)), 20 * 41, 100 * 41);
    assert_in_range(allowed_s(&w, work_of(256, 100000)), 1000, 4000);
}

/* A machine that was asleep in a step is not given all the time of the world for ever. */
static void test_a_slow_step_is_forgotten(void **state)
{
    (void)state;
    struct step_watch w = { 0 };
    const double work = work_of(256, 0);
    step_watch_measure(&w, work, 3600 * second);
    assert_true(allowed_s(&w, work) >= 3600);
    for (int i = 0; i < 200; i++) step_watch_measure(&w, work, second / 2);
    assert_int_equal(allowed_s(&w, work), 30);
    for (int i = 0; i < 200; i++) step_watch_measure(&w, work, 4 * second);
    assert_in_range(allowed_s(&w, work), 80, 81);
    step_watch_measure(&w, work, second / 1000);        /* one fast step says little */
    assert_in_range(allowed_s(&w, work), 74, 77);
}

/* Told while it runs, and again when the next one runs. */
static void test_a_step_that_hangs(void **state)
{
    (void)state;
    struct step_watch w = { 0 };
    const double work = work_of(20, 0);
    for (uint64_t i = 0; i < 100; i++) {
        step_watch_begin(&w, work, i * second);
        assert_true(step_watch_is_well(&w, i * second + second / 20));
        step_watch_measure(&w, work, second / 20);
        if (i % 2) step_watch_rest(&w);             /* else the next had been planned ahead */
    }
    step_watch_begin(&w, work, 100 * second);
    assert_true(step_watch_is_well(&w, 129 * second));
    assert_false(step_watch_is_well(&w, 130 * second));
    assert_false(step_watch_is_well(&w, 100000 * second));
    step_watch_rest(&w);
    assert_true(step_watch_is_well(&w, 100000 * second));
    step_watch_begin(&w, work, 100000 * second);    /* what failed is not measured */
    assert_false(step_watch_is_well(&w, 100030 * second));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_work_is_columns_and_how_far_they_look),
        cmocka_unit_test(test_nothing_runs),
        cmocka_unit_test(test_the_first_step),
        cmocka_unit_test(test_large_steps_have_longer),
        cmocka_unit_test(test_a_slow_step_is_forgotten),
        cmocka_unit_test(test_a_step_that_hangs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
