/* Prometheus text: what servers write, and what no server should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "cli/top/prom_text.h"

static struct prom_reader begin(const char *text)
{
    return prom_begin(text, strlen(text));
}

static void samples_of_every_form(void **state)
{
    struct prom_reader r = begin("# HELP a words {b=\"c\"} 5\n"
                                 "# TYPE a gauge\n"
                                 "a 1.5\n"
                                 "\n"
                                 "  a_b:c\t-2e3 1700000000000\n"
                                 "h_bucket{le=\"+Inf\",x=\"y\"} 7 # {id=\"9\"} 0.5\n"
                                 "i{} +Inf\r\n"
                                 "j { a = \"b\" , } NaN\n"
                                 "last 3");
    struct prom_sample s;
    char value[8];
    (void)state;
    assert_true(prom_next(&r, &s) && prom_is(&s, "a") && s.value == 1.5 && s.n_labels == 0);
    assert_false(prom_is(&s, "aa") || prom_is(&s, ""));
    assert_true(prom_next(&r, &s) && prom_is(&s, "a_b:c") && s.value == -2000);
    assert_true(prom_next(&r, &s) && prom_is(&s, "h_bucket") && s.value == 7);
    assert_true(prom_label(&s, "le", value, sizeof value) && !strcmp(value, "+Inf"));
    assert_true(prom_label(&s, "x", value, sizeof value) && !strcmp(value, "y"));
    assert_false(prom_label(&s, "l", value, sizeof value));
    assert_true(prom_next(&r, &s) && isinf(s.value) && s.n_labels == 0);
    assert_true(prom_next(&r, &s) && isnan(s.value));
    assert_true(prom_label(&s, "a", value, sizeof value) && !strcmp(value, "b"));
    assert_true(prom_next(&r, &s) && prom_is(&s, "last") && s.value == 3);
    assert_false(prom_next(&r, &s));
    assert_int_equal(r.n_bad_lines, 0);
}

static void escapes_in_labels(void **state)
{
    struct prom_reader r = begin("a{m=\"q\\\"b\\\\n\\n}, x=\\\"1\",z=\"2\"} 4\n");
    struct prom_sample s;
    char value[32];
    (void)state;
    assert_true(prom_next(&r, &s) && s.value == 4);
    assert_true(prom_label(&s, "m", value, sizeof value));
    assert_string_equal(value, "q\"b\\n\n}, x=\"1");
    assert_true(prom_label(&s, "z", value, sizeof value) && !strcmp(value, "2"));
    assert_false(prom_label(&s, "x", value, sizeof value));     /* it stands inside a value */
    assert_true(prom_label(&s, "z", value, 2));
    assert_false(prom_label(&s, "z", value, 1));                /* no room for the end */
    assert_false(prom_label(&s, "z", value, 0));
}

static void a_bad_line_costs_itself(void **state)
{
    static const char *const bad[] = {
        "a", "a ", "a{", "a{b", "a{b=", "a{b=c} 1", "a{b=\"c} 1", "a{b=\"c\\\"} 1", "{} 1",
        "a{b=\"c\"", "a{b=\"c\"} ", "a{b=\"c\"d=\"e\"} 1", "a{=\"c\"} 1", "a b", "a 1x", "9a 1",
        "a-b 1", "1", "a\"b 1", "<html>", "a{,} 1",
        "a 1111111111111111111111111111111111111111111111111111111111111111111111111111111",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[160];
        struct prom_sample s;
        snprintf(text, sizeof text, "first 1\n%s\nlast 2\n", bad[i]);
        struct prom_reader r = begin(text);
        assert_true(prom_next(&r, &s) && prom_is(&s, "first"));
        if (!prom_next(&r, &s) || !prom_is(&s, "last"))
            fail_msg("\"%s\" was taken for a sample", bad[i]);
        assert_false(prom_next(&r, &s));
        assert_int_equal(r.n_bad_lines, 1);
    }
}

static void a_zero_byte_is_no_end(void **state)
{
    static const char text[] = "a 1\0 2\nb\0c 3\nd 4\n";
    struct prom_reader r = prom_begin(text, sizeof text - 1);
    struct prom_sample s;
    (void)state;
    assert_true(prom_next(&r, &s) && prom_is(&s, "d") && s.value == 4);
    assert_false(prom_next(&r, &s));
    assert_int_equal(r.n_bad_lines, 2);
}

/* Every piece of a text, in memory that ends where it ends, and texts with bytes exchanged. */
static void cut_and_damaged_texts(void **state)
{
    static const char text[] =
        "# TYPE a histogram\na_bucket{le=\"0.1\",m=\"x\\\"y\"} 5\na_sum{} 1e3\n";
    struct rng rng = { 0 };
    (void)state;
    rng_seed(&rng, 7);
    for (size_t n = 0; n < sizeof text; n++)
        for (int round = 0; round < 200; round++) {
            char *copy = malloc(n ? n : 1), value[4];
            assert_non_null(copy);
            memcpy(copy, text, n);
            for (int i = 0; n && i < round % 4; i++)
                copy[rng_below(&rng, n)] = "\"\\{}=,\n a1\0#"[rng_below(&rng, 13)];
            struct prom_reader r = prom_begin(copy, n);
            size_t n_samples = 0;
            for (struct prom_sample s; prom_next(&r, &s); n_samples++) {
                assert_true(s.name >= copy && s.name + s.n_name <= copy + n);
                assert_true(s.labels >= copy && s.labels + s.n_labels <= copy + n);
                prom_label(&s, "le", value, sizeof value);
                prom_label(&s, "m", value, sizeof value);
            }
            assert_true(n_samples + r.n_bad_lines <= n);
            free(copy);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_of_every_form),
        cmocka_unit_test(escapes_in_labels),
        cmocka_unit_test(a_bad_line_costs_itself),
        cmocka_unit_test(a_zero_byte_is_no_end),
        cmocka_unit_test(cut_and_damaged_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
