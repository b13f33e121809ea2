/* Other programs, run and waited for. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/program.h"
#include "unit/cli/captured.h"
#include "unit/open_fds.h"

static struct captured out;

static const char *const *shell(const char *script)
{
    static const char *argv[4] = { "sh", "-c" };
    argv[2] = script;
    return argv;
}

static void exit_codes(void **state)
{
    (void)state;
    assert_int_equal(program_run(shell("exit 0")), 0);
    assert_int_equal(program_run(shell("exit 7")), 7);
    errno = 0;
    assert_int_equal(program_run(shell("kill -9 $$")), -1);
    assert_int_equal(errno, EINTR);
    assert_int_equal(program_run((const char *const[]){ "/nowhere/program", NULL }), -1);
    assert_int_equal(errno, ENOENT);
    captured_begin(&out, STDOUT_FILENO);
    assert_int_equal(program_run(shell("echo here")), 0);
    assert_string_equal(captured_end(&out), "here\n");
}

static void what_is_printed(void **state)
{
    char text[8];
    (void)state;
    assert_int_equal(program_output(shell("echo a; exit 3"), text, sizeof text), 3);
    assert_string_equal(text, "a\n");
    assert_int_equal(program_output(shell("printf 1234567"), text, sizeof text), 0);
    assert_string_equal(text, "1234567");
    assert_int_equal(program_output(shell("printf 123; sleep 0.01; printf 45678; exit 5"), text,
                                    sizeof text), 5);
    assert_string_equal(text, "1234567");
    /* more than a pipe holds: it is read to the end, so that the program gets there */
    assert_int_equal(program_output(shell("i=0; while [ $i -lt 2000 ]; do printf '%0100d' 7; "
                                    "i=$((i+1)); done; exit 4"), text, sizeof text), 4);
    assert_string_equal(text, "0000000");
    captured_begin(&out, STDOUT_FILENO);
    program_output(shell("echo not here"), text, sizeof text);
    assert_string_equal(captured_end(&out), "");
    errno = 0;
    assert_int_equal(program_output((const char *const[]){ "/nowhere/program", NULL }, text,
                                    sizeof text), -1);
    assert_int_equal(errno, ENOENT);
    assert_string_equal(text, "");
}

static void its_own_path(void **state)
{
    char path[4096], small[8];
    (void)state;
    assert_true(program_path(path, sizeof path));
    assert_true(path[0] == '/' && strstr(path, "test_program"));
    assert_false(program_path(small, sizeof small));
    assert_false(program_path(path, strlen(path) + 1 - 1));
}

/* As `pmset -g` prints, in whichever order. */
static void numbers_of_whole_words(void **state)
{
    static const char *const texts[] = {
        "System-wide power settings:\n lowpowermode         1\n powermode            2\n",
        " powermode            2\n\n lowpowermode\t1 (why)\n",
    };
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(program_number(texts[i], "powermode"), 2);
        assert_int_equal(program_number(texts[i], "lowpowermode"), 1);
        assert_int_equal(program_number(texts[i], "mode"), -1);
        assert_int_equal(program_number(texts[i], "power"), -1);
    }
    assert_int_equal(program_number(" lowpowermode 1\n", "powermode"), -1);
    assert_int_equal(program_number("", "powermode"), -1);
    assert_int_equal(program_number("powermode", "powermode"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exit_codes),
        cmocka_unit_test(what_is_printed),
        cmocka_unit_test(its_own_path),
        cmocka_unit_test(numbers_of_whole_words),
    };
    const int n_open = n_open_fds(), failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed || n_open_fds() != n_open;     /* what was opened was closed */
}
