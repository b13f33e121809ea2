/* Servers in the background, with small shell scripts in their place: found, waited for, stopped,
 * and the end of their log. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/up/background.h"
#include "unit/open_fds.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/paceline_background_XXXXXX");
    if (!mkdtemp(folder)) return -1;
    return setenv("XDG_STATE_HOME", folder, 1);
}

static int remove_folder(void **state)
{
    char command[96];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

/* Starts /bin/sh -c `script` as the server "x". */
static void start(struct background *b, const char *script)
{
    const char *const argv[] = { "/bin/sh", "-c", script, NULL };
    pl_err err = { 0 };
    assert_int_equal(background_find(b, "x", &err), PL_OK);
    assert_int_equal(b->pid, 0);
    if (background_start(b, argv, &err)) fail_msg("%s", err.text);
    assert_true(b->pid > 1);
}

static void one_that_serves(void **state)
{
    struct background b, again;
    struct stat s;
    pl_err err = { 0 };
    (void)state;
    start(&b, "echo loading; echo 'listening  http://h:1/llm more'; echo 'listening  http://late'; "
              "exec sleep 300");
    assert_int_equal(background_wait(&b, 60, &err), PL_OK);
    assert_string_equal(b.address, "http://h:1/llm");
    assert_int_equal(background_find(&again, "x", &err), PL_OK);
    assert_int_equal(again.pid, b.pid);
    assert_string_equal(again.address, "http://h:1/llm");
    assert_int_equal(background_start(&again, (const char *const[]){ "/bin/true", NULL }, &err),
                     PL_E_BUSY);
    assert_non_null(strstr(err.text, "/paceline/x.run is locked: a server of this name runs"));
    assert_int_equal(getsid(b.pid), b.pid);            /* no terminal's: Ctrl-C does not reach it */
    assert_int_equal(stat(b.log_file, &s), 0);
    assert_int_equal(s.st_mode & 0777, 0600);
    assert_int_equal(background_find(&again, "y", &err), PL_OK);
    assert_int_equal(again.pid, 0);
    assert_int_equal(background_stop(&b, 60, &err), PL_OK);
    assert_int_equal(access(b.run_file, F_OK), -1);
    assert_int_equal(kill(b.pid, 0), -1);
}

static void one_that_does_not_get_ready(void **state)
{
    struct background b;
    char wanted[2 * sizeof folder];
    pl_err err = { 0 };
    (void)state;
    start(&b, "trap '' TERM; echo loading; while :; do sleep 0.05; done");
    assert_int_equal(background_wait(&b, 0, &err), PL_E_BUSY);
    snprintf(wanted, sizeof wanted, "the server is not ready after 0 s; see %s/paceline/x.log",
             folder);
    assert_string_equal(err.text, wanted);
    assert_string_equal(b.address, "");
    assert_int_equal(background_stop(&b, 0, &err), PL_E_BUSY);
    snprintf(wanted, sizeof wanted, "process %ld still finishes requests after 0 s", (long)b.pid);
    assert_string_equal(err.text, wanted);
    kill(b.pid, SIGKILL);
    assert_int_equal(background_stop(&b, 60, &err), PL_OK);
}

/* The last line that is not empty, of a short log and of one longer than what is read of it. */
static void one_that_ends(void **state)
{
    static const struct {
        const char *script, *last;
    } cases[] = {
        { "echo first; echo; printf 'the last\\n\\n'", "the last" },
        { "printf 'no line end'", "no line end" },
        { "exit 1", "" },
        { "i=0; while [ $i -lt 300 ]; do echo a line of the log; i=$((i+1)); done; echo why",
          "why" },
        { "echo first; /nowhere", NULL },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct background b;
        char wanted[2 * sizeof folder];
        pl_err err = { 0 };
        start(&b, cases[i].script);
        assert_int_equal(background_wait(&b, 60, &err), PL_E_IO);
        snprintf(wanted, sizeof wanted, "the server ended: %s (all of it: %s/paceline/x.log)",
                 cases[i].last ? cases[i].last : "", folder);
        if (cases[i].last) assert_string_equal(err.text, wanted);
        else assert_true(strstr(err.text, "/nowhere") && !strstr(err.text, "first"));
    }
}

static void one_that_is_not_there(void **state)
{
    const char *const argv[] = { "/nowhere/paceline", NULL };
    struct background b;
    pl_err err = { 0 };
    (void)state;
    assert_int_equal(background_find(&b, "x", &err), PL_OK);
    assert_int_equal(background_start(&b, argv, &err), PL_OK);
    assert_int_equal(background_wait(&b, 60, &err), PL_E_IO);
    assert_non_null(strstr(err.text,
                           "the server ended: /nowhere/paceline: No such file or directory ("));
}

static void where_its_files_are(void **state)
{
    struct background b;
    char wanted[2 * sizeof folder];
    pl_err err = { 0 };
    (void)state;
    setenv("XDG_STATE_HOME", "relative", 1);
    setenv("HOME", folder, 1);
    assert_int_equal(background_find(&b, "n", &err), PL_OK);
    snprintf(wanted, sizeof wanted, "%s/.local/state/paceline/n.run", folder);
    assert_string_equal(b.run_file, wanted);
    setenv("HOME", "", 1);
    assert_int_equal(background_find(&b, "n", &err), PL_E_IO);
    assert_string_equal(err.text,
                        "neither XDG_STATE_HOME nor HOME is set: where would the server's files "
                        "go?");
    unsetenv("HOME");
    unsetenv("XDG_STATE_HOME");
    assert_int_equal(background_find(&b, "n", &err), PL_E_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_that_serves, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(one_that_does_not_get_ready, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(one_that_ends, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(one_that_is_not_there, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(where_its_files_are, make_folder, remove_folder),
    };
    const int n_open = n_open_fds(), failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed || n_open_fds() != n_open;     /* what was opened was closed */
}
