/* Lines of a frame: figures at the values where their form changes, bars, graphs, and text that is
 * not for terminals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/top/frame.h"

static void counts(void **state)
{
    static const struct {
        double n;
        const char *text;
    } cases[] = {
        { 0, "0" }, { -0.5, "-" }, { NAN, "-" }, { INFINITY, "-" }, { 1, "1" }, { 9999, "9999" },
        { 9999.49, "9999" }, { 9999.5, "10k" }, { 999499, "999k" }, { 999500, "1M" },
            { 12345678, "12M" },
    };
    char text[16];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        frame_count(text, sizeof text, cases[i].n);
        assert_string_equal(text, cases[i].text);
    }
}

static void times(void **state)
{
    static const struct {
        double s;
        const char *text;
    } cases[] = {
        { NAN, "-" }, { -1, "-" }, { INFINITY, "-" }, { 0, "0.0 ms" }, { 0.00994, "9.9 ms" },
        { 0.00995, "10 ms" }, { 0.9994, "999 ms" }, { 0.9995, "1.00 s" }, { 9.9949, "9.99 s" },
        { 9.995, "10 s" }, { 59.4, "59 s" }, { 60, "1m00" }, { 61.9, "1m01" }, { 3599, "59m59" },
        { 3600, "1h00" }, { 7325, "2h02" }, { 360000, "100h00" }, { 1e12, "277777h46" },
    };
    char text[16];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        frame_seconds(text, sizeof text, cases[i].s);
        assert_string_equal(text, cases[i].text);
    }
}

static void bars(void **state)
{
    static const struct {
        double share;
        size_t n_out, columns;
        const char *text;
    } cases[] = {
        { 0.5, 32, 12, "[#####.....]" }, { 0, 32, 12, "[..........]" },
            { 1, 32, 12, "[##########]" },
        { 0.049, 32, 12, "[..........]" }, { 0.05, 32, 12, "[#.........]" },
            { -1, 32, 12, "[..........]" },
        { 7, 32, 12, "[##########]" }, { NAN, 32, 12, "" }, { 1, 32, 3, "[#]" }, { 1, 32, 2, "" },
        { 1, 13, 12, "[##########]" }, { 1, 12, 12, "" },
    };
    char text[32];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        frame_bar(text, cases[i].n_out, cases[i].share, cases[i].columns);
        assert_string_equal(text, cases[i].text);
    }
}

static void graphs(void **state)
{
    static const double eighths[] = { -1, 0, 1, 2, 3, 4, 5, 6, 7, 8 };
    const struct frame plain = { .is_utf8 = false }, utf8 = { .is_utf8 = true };
    char text[64];
    (void)state;
    frame_spark(&plain, text, sizeof text, eighths, 10, 20);
    assert_string_equal(text, "  _.-=+*%#");
    frame_spark(&utf8, text, sizeof text, eighths, 10, 20);
    assert_string_equal(text, "  ▁▂▃▄▅▆▇█");
    frame_spark(&plain, text, sizeof text, eighths, 10, 4);         /* the last ones */
    assert_string_equal(text, "+*%#");
    frame_spark(&plain, text, sizeof text, (const double[]){ 0, 0 }, 2, 4);
    assert_string_equal(text, "  ");
    frame_spark(&plain, text, sizeof text, (const double[]){ 0.01, 8 }, 2, 4);
    assert_string_equal(text, "_#");                                /* whatever is there is seen */
    frame_graph_row(&plain, text, sizeof text, eighths, 10, 10, 0, 2);
    assert_string_equal(text, "  .=*#####");
    frame_graph_row(&plain, text, sizeof text, eighths, 10, 10, 1, 2);
    assert_string_equal(text, "      .=*#");
    frame_spark(&utf8, text, 9, eighths + 2, 8, 8);               /* as many as there is room for */
    assert_string_equal(text, "▁▂");
    frame_spark(&utf8, text, 10, eighths + 2, 8, 8);
    assert_string_equal(text, "▁▂▃");
}

static const char *shown(const char *text, bool is_utf8, size_t columns)
{
    static struct frame f;
    f = (struct frame){ .max_lines = 1, .columns = columns, .is_utf8 = is_utf8 };
    frame_add(&f, FRAME_PLAIN, "%s", text);
    return f.line[0].text;
}

static void what_is_not_for_terminals(void **state)
{
    static const struct {
        const char *text, *utf8, *plain;
    } cases[] = {
        { "a b  ", "a b", "a b" }, { "a\x1b[1m\x7f\tb", "a?[1m??b", "a?[1m??b" },
        { "\xc2\xa0|", "\xc2\xa0|", "?|" }, { "\xc2\x9f|", "??|", "??|" },
            { "\xc1\xbf|", "??|", "??|" },
        { "é€😀|", "é€😀|", "???|" }, { "\xe2\x82|", "??|", "??|" },
            { "\xf4\x8f\xbf\xbf|", "\xf4\x8f\xbf\xbf|", "?|" },
        { "\xf5\x80\x80\x80|", "????|", "????|" },
            { "\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf", "\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf", "???" },
        { "\xc3", "?", "?" }, { "\x80~\x20", "?~", "?~" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_string_equal(shown(cases[i].text, true, 40), cases[i].utf8);
        assert_string_equal(shown(cases[i].text, false, 40), cases[i].plain);
    }
    assert_string_equal(shown("é€😀|", true, 3), "é€😀");
    assert_string_equal(shown("abc", true, 2), "ab");
    assert_string_equal(shown("a bc", true, 2), "a");
    assert_string_equal(shown("", true, 2), "");
}

static void as_many_lines_as_there_are(void **state)
{
    static struct frame f;
    (void)state;
    f = (struct frame){ .max_lines = 2, .columns = 9 };
    for (int i = 0; i < 3; i++) frame_add(&f, FRAME_PLAIN, "%d", i);
    assert_int_equal(f.n, 2);
    assert_string_equal(f.line[1].text, "1");
    f = (struct frame){ .max_lines = FRAME_MAX_LINES + 5, .columns = 9 };
    for (int i = 0; i < FRAME_MAX_LINES + 2; i++) frame_add(&f, FRAME_PLAIN, "%d", i);
    assert_int_equal(f.n, FRAME_MAX_LINES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts), cmocka_unit_test(times),
        cmocka_unit_test(bars),   cmocka_unit_test(graphs),
        cmocka_unit_test(what_is_not_for_terminals),
        cmocka_unit_test(as_many_lines_as_there_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
