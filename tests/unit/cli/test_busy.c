/* When what was measured is not to be believed, and which name a misspelt one meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "cli/nearest.h"
#include "cli/plan/busy.h"

static struct measured_twice quiet(void)
{
    return (struct measured_twice){ 0.4, 2, { 900e9, 1000e9 }, { 50e9, 60e9 } };
}

static void assert_busy(struct measured_twice m, const char *piece)
{
    char why[160];
    assert_true(measured_busy(&m, why, sizeof why));
    if (!strstr(why, piece)) fail_msg("\"%s\" has no \"%s\"", why, piece);
}

static void test_busy_machines(void **state)
{
    struct measured_twice m = quiet();
    char why[160];
    (void)state;
    assert_false(measured_busy(&m, why, sizeof why));
    assert_string_equal(why, "");
    m.load_average = 2;                 /* as many as there are: nobody waits */
    assert_false(measured_busy(&m, why, sizeof why));
    m.load_average = 2.1;
    assert_busy(m, "load average 2.1 on 2 processors");
    m = quiet();
    m.load_average = -1;                /* not told */
    assert_false(measured_busy(&m, why, sizeof why));
    m.macs_per_s[0] = 600e9;
    assert_busy(m, "arithmetic one reached 60 %");
    m = quiet();
    m.read_bytes_per_s[1] = 20e9;
    assert_busy(m, "reads one reached 40 %");
}

static void test_what_the_system_says(void **state)
{
    struct measured_twice m;
    (void)state;
    measured_before(&m);
    assert_true(m.load_average >= 0 && m.n_processors >= 1);
}

static const char *nearest_of(const char *word)
{
    static const char *const names[] = { "m4-pro-16c-24", "m4-pro-24", "m5-max-128", "m5-16",
                                         "rtx-4090", "rtx-5090", "strix-halo" };
    struct nearest best;
    nearest_begin(&best, word, strlen(word));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) nearest_offer_part(&best, names[i]);
    return best.name;
}

static void test_nearest_names(void **state)
{
    (void)state;
    assert_string_equal(nearest_of("4090"), "rtx-4090");
    assert_string_equal(nearest_of("5090"), "rtx-5090");
    assert_string_equal(nearest_of("m5"), "m5-16");         /* the shortest that has it */
    assert_string_equal(nearest_of("M4-PRO"), "m4-pro-24");
    assert_string_equal(nearest_of("m4-pro-25"), "m4-pro-24");
    assert_string_equal(nearest_of("strix-helo"), "strix-halo");
    assert_null(nearest_of("zzzzzzzzzz"));
    assert_null(nearest_of(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_busy_machines),
        cmocka_unit_test(test_what_the_system_says),
        cmocka_unit_test(test_nearest_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
