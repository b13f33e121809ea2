/* Asking again and again: as long as it is wanted, and after a pause. Times are lower bounds: a
 * slow machine makes the test slow, not wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/metal/keep_alive.h"
#include "base/clock.h"

static const uint64_t day_ns = 86400000000000ull, ms_ns = 1000000;
static _Atomic uint32_t n_asked;

static void ask(void *arg)
{
    (void)arg;
    n_asked++;
}

static struct keep_alive *open_for(uint64_t keep_ns, uint64_t period_ns)
{
    struct keep_alive *k;
    pl_err err;
    n_asked = 0;
    if (keep_alive_open(&k, keep_ns, period_ns, ask, NULL, &err)) fail_msg("%s", err.text);
    return k;
}

static void it_is_asked_for_while_it_may_be_used(void **state)
{
    (void)state;
    struct keep_alive *k = open_for(day_ns, ms_ns);
    while (n_asked < 20) clock_sleep_ms(1);
    assert_false(keep_alive_is_asleep(k));
    keep_alive_close(k);
}

/* Not more often than the period says, whoever asks. */
static void nobody_asks_twice_in_a_period(void **state)
{
    (void)state;
    struct keep_alive *k = open_for(day_ns, day_ns);
    for (int i = 0; i < 100; i++) keep_alive_use(k);
    while (!n_asked) clock_sleep_ms(1);
    assert_int_equal(n_asked, 1);
    keep_alive_close(k);
}

static void it_is_let_go_at_last_and_asked_for_before_the_next_use(void **state)
{
    (void)state;
    struct keep_alive *k = open_for(5 * ms_ns, ms_ns);
    for (int i = 0; i < 3; i++) {
        while (!keep_alive_is_asleep(k)) clock_sleep_ms(1);
        const uint32_t n = n_asked;
        clock_sleep_ms(20);
        assert_int_equal(n_asked, n);
        keep_alive_use(k);
        assert_true(n_asked > n);
    }
    keep_alive_close(k);
}

static void without_a_thread_it_is_asked_for_before_a_use_alone(void **state)
{
    (void)state;
    struct keep_alive *k = open_for(0, ms_ns);
    clock_sleep_ms(5);
    assert_int_equal(n_asked, 0);
    for (uint32_t i = 1; i < 4; i++) {
        keep_alive_use(k);
        assert_int_equal(n_asked, i);
        clock_sleep_ms(2);
    }
    keep_alive_close(k);
    keep_alive_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_asked_for_while_it_may_be_used),
        cmocka_unit_test(nobody_asks_twice_in_a_period),
        cmocka_unit_test(it_is_let_go_at_last_and_asked_for_before_the_next_use),
        cmocka_unit_test(without_a_thread_it_is_asked_for_before_a_use_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
