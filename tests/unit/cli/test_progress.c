/* How far a download is: a line every tenth where there is no terminal, and the bar's text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/progress.h"

static char said[4096];

/* Without the rate, which is told where half a second passes between two calls. */
static const char *what_was_said(FILE *f)
{
    char line[512];
    said[0] = 0;
    rewind(f);
    while (fgets(line, sizeof line, f)) {
        char *rate = strstr(line, "kB, ");
        if (rate) strcpy(rate, "kB\n");
        strcat(said, line);
    }
    return said;
}

/* What a run from `start` on to `total` in steps of `step` says. */
static const char *lines_of(uint64_t total, uint64_t start, uint64_t step)
{
    struct progress p;
    FILE *f = tmpfile();
    assert_non_null(f);
    progress_begin(&p, f, "model\n.gguf", total, start);
    for (uint64_t n = start; n <= (total ? total : 1000); n += step) progress_at(&p, n);
    progress_end(&p);
    what_was_said(f);
    fclose(f);
    return said;
}

static void a_line_each_tenth(void **state)
{
    (void)state;
    assert_string_equal(lines_of(1000, 0, 1),
                        "model?.gguf: 10 %, 100 B of 1.00 kB\n"
                        "model?.gguf: 20 %, 200 B of 1.00 kB\n"
                        "model?.gguf: 30 %, 300 B of 1.00 kB\n"
                        "model?.gguf: 40 %, 400 B of 1.00 kB\n"
                        "model?.gguf: 50 %, 500 B of 1.00 kB\n"
                        "model?.gguf: 60 %, 600 B of 1.00 kB\n"
                        "model?.gguf: 70 %, 700 B of 1.00 kB\n"
                        "model?.gguf: 80 %, 800 B of 1.00 kB\n"
                        "model?.gguf: 90 %, 900 B of 1.00 kB\n");
}

/* What was there before is not told again; a large piece passes several tenths with one line. */
static void a_line_where_a_tenth_is_passed(void **state)
{
    (void)state;
    assert_string_equal(lines_of(1000, 750, 50), "model?.gguf: 80 %, 800 B of 1.00 kB\n"
                                                 "model?.gguf: 90 %, 900 B of 1.00 kB\n");
    assert_string_equal(lines_of(1000, 0, 450), "model?.gguf: 45 %, 450 B of 1.00 kB\n"
                                                "model?.gguf: 90 %, 900 B of 1.00 kB\n");
    assert_string_equal(lines_of(1000, 100, 99), "model?.gguf: 29 %, 298 B of 1.00 kB\n"
                                                 "model?.gguf: 39 %, 397 B of 1.00 kB\n"
                                                 "model?.gguf: 49 %, 496 B of 1.00 kB\n"
                                                 "model?.gguf: 59 %, 595 B of 1.00 kB\n"
                                                 "model?.gguf: 69 %, 694 B of 1.00 kB\n"
                                                 "model?.gguf: 79 %, 793 B of 1.00 kB\n"
                                                 "model?.gguf: 89 %, 892 B of 1.00 kB\n"
                                                 "model?.gguf: 99 %, 991 B of 1.00 kB\n");
    assert_string_equal(lines_of(0, 0, 100), "");       /* of what is not known there is no tenth */
}

static void from_the_start_again(void **state)
{
    (void)state;
    struct progress p;
    FILE *f = tmpfile();
    assert_non_null(f);
    progress_begin(&p, f, "x", 1000, 0);
    progress_at(&p, 500);
    progress_at(&p, 0);
    progress_at(&p, 100);
    progress_say(&p, "tried again: %d", 2);
    progress_at(&p, 200);
    assert_string_equal(what_was_said(f), "x: 50 %, 500 B of 1.00 kB\nx: 10 %, 100 B of 1.00 kB\n"
                              "tried again: 2\nx: 20 %, 200 B of 1.00 kB\n");
    fclose(f);
    progress_begin(&p, NULL, "x", 1000, 0);     /* says nothing, to nobody */
    progress_at(&p, 500);
    progress_say(&p, "nothing");
    progress_end(&p);
}

static void the_bar_fits_its_columns(void **state)
{
    (void)state;
    struct progress p = { .what = "model.gguf", .n_total = 1000, .n_done = 500 };
    char line[300];
    progress_format(line, sizeof line, 80, &p);
    assert_non_null(strstr(line, "model.gguf [####"));
    assert_non_null(strstr(line, "----] 50 %, 500 B of 1.00 kB"));
    for (unsigned columns = 1; columns < 120; columns++) {
        progress_format(line, sizeof line, columns, &p);
        assert_true(strlen(line) <= columns);
    }
}

static void sizes_for_people(void **state)
{
    static const struct {
        uint64_t n;
        const char *text;
    } cases[] = {
        { 0, "0 B" }, { 999, "999 B" }, { 1000, "1.00 kB" }, { 9994, "9.99 kB" },
            { 9996, "10.0 kB" },
        { 99940, "99.9 kB" }, { 99960, "100 kB" }, { 999499, "999 kB" }, { 999500, "1.00 MB" },
        { 4683073184, "4.68 GB" }, { 999500000000, "1.00 TB" }, { 1234567000000000, "1235 TB" },
    };
    char text[16];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        progress_bytes(text, sizeof text, cases[i].n);
        assert_string_equal(text, cases[i].text);
    }
}

static void check_bar(unsigned columns, const struct progress *p, const char *wanted)
{
    char line[300];
    progress_format(line, sizeof line, columns, p);
    assert_string_equal(line, wanted);
}

/* The time that is left is rounded up, and not told where it is days. */
static void rates_and_times(void **state)
{
    struct progress p = { .what = "m", .n_total = 1000000, .n_done = 1000, .bytes_per_s = 10000 };
    (void)state;
    check_bar(60, &p, "m [----------] 0 %, 1.00 kB of 1.00 MB, 10.0 kB/s, 1:40 left");
    p.n_done = 400000;
    check_bar(60, &p, "m [####------] 40 %, 400 kB of 1.00 MB, 10.0 kB/s, 1:00 left");
    p.bytes_per_s = 600000.0 / 3599.5;
    check_bar(20, &p, "m 40 %, 400 kB of 1.");
    check_bar(70, &p, "m [#######------------] 40 %, 400 kB of 1.00 MB, 166 B/s, 1:00:00 left");
    p.bytes_per_s = 600000.0 / 359999;
    check_bar(70, &p, "m [########------------] 40 %, 400 kB of 1.00 MB, 1 B/s, 99:59:59 left");
    p.bytes_per_s = 600000.0 / 360001;
    check_bar(70, &p, "m [##############---------------------] 40 %, 400 kB of 1.00 MB, 1 B/s");
    p.n_done = p.n_total;
    check_bar(70, &p, "m [#################################] 100 %, 1.00 MB of 1.00 MB, 1 B/s");
    p.n_done = 2 * p.n_total;                           /* more than was said */
    check_bar(70, &p, "m [#################################] 100 %, 2.00 MB of 1.00 MB, 1 B/s");
    p.n_total = 0;
    check_bar(70, &p, "m 2.00 MB, 1 B/s");
    p = (struct progress){ .what = "loading", .n_total = 10000, .n_done = 2500, .is_share = true,
                           .bytes_per_s = 750 };
    check_bar(80, &p, "loading [##########------------------------------] 25 %, 0:10 left");
    p.bytes_per_s = 0;
    check_bar(80, &p, "loading [##########------------------------------] 25 %");
}

/* A bar has at least eight columns and at most forty, a name a third of the line. */
static void where_a_bar_begins(void **state)
{
    struct progress p = { .what = "name", .n_total = 1000, .n_done = 500 };
    (void)state;
    check_bar(37, &p, "name 50 %, 500 B of 1.00 kB");
    check_bar(38, &p, "name [####----] 50 %, 500 B of 1.00 kB");
    check_bar(73, &p, "name [####################--------------------] 50 %, 500 B of 1.00 kB");
    check_bar(74, &p, "name [####################--------------------] 50 %, 500 B of 1.00 kB");
    strcpy(p.what, "a name of twenty-two b");
    check_bar(30, &p, "a name of  50 %, 500 B of 1.00");
    check_bar(66, &p, "a name of twenty-two b [#########---------] 50 %, 500 B of 1.00 kB");
    check_bar(65, &p, "a name of twenty-two  [#########---------] 50 %, 500 B of 1.00 kB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_each_tenth),
        cmocka_unit_test(a_line_where_a_tenth_is_passed),
        cmocka_unit_test(from_the_start_again),
        cmocka_unit_test(the_bar_fits_its_columns),
        cmocka_unit_test(sizes_for_people),
        cmocka_unit_test(rates_and_times),
        cmocka_unit_test(where_a_bar_begins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
