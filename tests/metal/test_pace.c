/* When a command buffer ends, and what of its time is learnt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/metal/pace.h"

static void the_larger_of_arithmetic_and_reads_counts(void **state)
{
    (void)state;
    const double launch = pace_expected_ns(0, 0);
    assert_true(launch > 0);
    assert_true(pace_expected_ns(1000000000, 0) > 100 * launch);
    assert_true(pace_expected_ns(1000000000, 1000) == pace_expected_ns(1000000000, 0));
    assert_true(pace_expected_ns(1000, 1000000000) == pace_expected_ns(0, 1000000000));
}

static void the_budget_holds_by_what_was_measured(void **state)
{
    (void)state;
    struct pace p = { .budget_ns = 150000000 };
    assert_true(pace_has_room(&p, 100e6, 50e6));        /* as it is expected */
    assert_false(pace_has_room(&p, 100e6, 51e6));
    pace_learn(&p, 10e6, 40000000);     /* four times that: at once */
    assert_true(pace_has_room(&p, 30e6, 7e6));
    assert_false(pace_has_room(&p, 30e6, 8e6));
    pace_learn(&p, 40e6, 40000000);     /* as expected: a quarter of the way */
    assert_true(p.factor == 3.25);
    for (int i = 0; i < 60; i++) pace_learn(&p, 40e6, 20000000);
    assert_true(pace_has_room(&p, 100e6, 199e6));
    assert_false(pace_has_room(&p, 100e6, 201e6));
}

static void what_says_nothing_is_not_learnt(void **state)
{
    (void)state;
    struct pace p = { .budget_ns = 150000000 };
    pace_learn(&p, 1000, 999999);       /* most of it are launches */
    pace_learn(&p, 0, 5000000);
    pace_learn(&p, 1e9, 0);             /* a killed command buffer may have no times */
    assert_true(p.factor == 0);
}

static void a_kill_halves_the_budget_down_to_a_least(void **state)
{
    (void)state;
    struct pace p = { .budget_ns = 50000000 };
    pace_halve(&p);
    assert_int_equal(p.budget_ns, 25000000);
    for (int i = 0; i < 5; i++) pace_halve(&p);
    assert_int_equal(p.budget_ns, PACE_LEAST_NS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_larger_of_arithmetic_and_reads_counts),
        cmocka_unit_test(the_budget_holds_by_what_was_measured),
        cmocka_unit_test(what_says_nothing_is_not_learnt),
        cmocka_unit_test(a_kill_halves_the_budget_down_to_a_least),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
