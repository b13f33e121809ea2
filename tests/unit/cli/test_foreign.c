/* Another program's options: how a row is found, in either form, and what of its values is
 * taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/foreign.h"
#include "unit/cli/captured.h"

static const struct foreign rows[] = {
    { "--mmap -mm", FOREIGN_NOTHING, FOREIGN_SWITCH, NULL, "mapped" },
    { "--keep", FOREIGN_NOTHING, FOREIGN_VALUE, NULL, "kept" },
    { "--ui --web", FOREIGN_REFUSED, FOREIGN_SWITCH, "off 0", "no page" },
    { "--grammar", FOREIGN_REFUSED, FOREIGN_VALUE, "", "no grammar" },
    { "--spec-*", FOREIGN_REFUSED, FOREIGN_VALUE, NULL, "no spec" },
};
static const struct foreign_table table = { rows, sizeof rows / sizeof *rows };
static struct captured out;

/* The row's number, -1: none; + 100 where it is its --no- form. */
static int row_of(const char *word)
{
    bool is_negated;
    const struct foreign *f = foreign_find(&table, word, strlen(word), &is_negated);
    return f ? (int)(f - rows) + 100 * is_negated : -1;
}

static void rows_by_name(void **state)
{
    char longest[80] = "--no-";
    (void)state;
    assert_int_equal(row_of("--mmap"), 0);
    assert_int_equal(row_of("-mm"), 0);
    assert_int_equal(row_of("--mma"), -1);
    assert_int_equal(row_of("--mmapp"), -1);
    assert_int_equal(row_of("--no-mmap"), 100);
    assert_int_equal(row_of("-no-mm"), 100);
    assert_int_equal(row_of("--no-web"), 102);
    assert_int_equal(row_of("--no-keep"), -1);          /* no switch */
    assert_int_equal(row_of("--no-"), -1);
    assert_int_equal(row_of("--nommap"), -1);
    assert_int_equal(row_of("--spec-x"), 4);
    assert_int_equal(row_of("--spec-"), -1);            /* at least a letter */
    assert_int_equal(row_of("--spec"), -1);
    memset(longest + 5, 'x', 70);
    assert_int_equal(row_of(longest), -1);
}

/* Whether it is taken; what is said of it, in out.text or as the last of `taken`. */
static bool take(int row, const char *word, const char *value, struct foreign_taken *taken)
{
    captured_begin(&out, STDERR_FILENO);
    const bool is_taken = foreign_take(&rows[row], word, strlen(word), value, taken);
    captured_end(&out);
    return is_taken;
}

static void values(void **state)
{
    struct foreign_taken taken = { .n = 0 };
    (void)state;
    assert_true(take(0, "--mmap", NULL, &taken));
    assert_string_equal(taken.list[0].word, "--mmap");
    assert_int_equal(taken.list[0].n_word, 6);
    assert_string_equal(taken.list[0].text, "mapped");
    assert_false(take(2, "--ui", NULL, &taken));
    assert_string_equal(out.text, "paceline: --ui is not supported: no page\n");
    assert_false(take(2, "--ui", "on", &taken));
    assert_false(take(2, "--ui", "", &taken));
    assert_true(take(2, "--ui", "off", &taken) && take(2, "--ui", "0", &taken));
    assert_int_equal(taken.n, 3);
    assert_string_equal(taken.list[2].text, "asks for nothing");
    assert_true(take(3, "--grammar", "", &taken));
    assert_false(take(3, "--grammar", "root", &taken));
    assert_false(take(4, "--spec-x", "", &taken));
    assert_true(take(1, "--keep", "5", NULL));          /* nobody collects */
}

static void more_than_are_collected(void **state)
{
    struct foreign_taken taken = { .n = 0 };
    const size_t most = sizeof taken.list / sizeof *taken.list;
    (void)state;
    for (size_t i = 0; i < most + 2; i++) assert_true(take(0, "--mmap", NULL, &taken));
    assert_int_equal(taken.n, most);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_by_name),
        cmocka_unit_test(values),
        cmocka_unit_test(more_than_are_collected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
