/* How a client of HTTP gets its key, and what keys there are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/client.h"
#include "unit/open_fds.h"

static char path[] = "/tmp/paceline_key_XXXXXX";
static pl_err err;

/* The key of a file that begins so; NULL: it is refused. */
static const char *key_of_file(const char *text)
{
    static struct client c;
    FILE *to = fopen(path, "w");
    fputs(text, to);
    fclose(to);
    c = (struct client){ .api_key_file = path };
    return client_open(&c, &err) ? NULL : c.key;
}

static void keys_of_files(void **state)
{
    (void)state;
    assert_int_equal(close(mkstemp(path)), 0);
    assert_string_equal(key_of_file("k1\nk2\n"), "k1");
    assert_string_equal(key_of_file("k1\r\n"), "k1");
    assert_string_equal(key_of_file("k1"), "k1");
    assert_null(key_of_file("\nk2\n"));
    assert_string_equal(err.text, "the API key is empty");
    assert_null(key_of_file(""));
    assert_string_equal(err.text, "the API key is empty");
    assert_null(key_of_file("k 1\n"));
    assert_string_equal(err.text, "the API key has a space or control character in it");
    remove(path);
    struct client gone = { .api_key_file = path };
    assert_int_equal(client_open(&gone, &err), PL_E_IO);
    assert_non_null(strstr(err.text, "No such file"));
}

static void keys_of_options(void **state)
{
    static const char *const bad[] = { "a b", " a", "a\t", "a\x7f", "\x1f" };
    struct client c = { .api_key = "~!key\x80" };
    char longest[sizeof c.key + 1], wanted[64];
    (void)state;
    assert_int_equal(client_open(&c, &err), PL_OK);
    assert_string_equal(c.key, "~!key\x80");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        c = (struct client){ .api_key = bad[i] };
        assert_int_equal(client_open(&c, &err), PL_E_PARAM);
        assert_string_equal(err.text, "the API key has a space or control character in it");
    }
    c = (struct client){ .api_key = "" };
    assert_int_equal(client_open(&c, &err), PL_E_PARAM);
    memset(longest, 'k', sizeof longest);
    longest[sizeof longest - 1] = 0;
    c = (struct client){ .api_key = longest };
    assert_int_equal(client_open(&c, &err), PL_E_PARAM);
    snprintf(wanted, sizeof wanted, "the API key is longer than %zu bytes", sizeof c.key - 1);
    assert_string_equal(err.text, wanted);
    c = (struct client){ .api_key = longest + 1 };
    assert_int_equal(client_open(&c, &err), PL_OK);
    assert_string_equal(c.key, longest + 1);
    c = (struct client){ .api_key = "a", .api_key_file = "b" };
    assert_int_equal(client_open(&c, &err), PL_E_PARAM);
    assert_string_equal(err.text, "--api-key and --api-key-file: one of them is wanted");
}

static void without_a_key(void **state)
{
    struct client c = { .key = "" };
    (void)state;
    assert_int_equal(client_open(&c, &err), PL_OK);
    assert_string_equal(c.key, "");
    c.ca_file = "/nowhere.pem";
    assert_int_equal(client_open(&c, &err), PL_E_PARAM);
    assert_string_equal(err.text, "--cacert /nowhere.pem: No such file or directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_files),
        cmocka_unit_test(keys_of_options),
        cmocka_unit_test(without_a_key),
    };
    const int n_open = n_open_fds(), failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed || n_open_fds() != n_open;     /* what was opened was closed */
}
