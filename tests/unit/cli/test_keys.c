/* API keys out of options and a file, however they are written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/serve/keys.h"
#include "unit/cli/captured.h"
#include "unit/open_fds.h"

static char path[32];
static struct captured out;
static struct serve_keys keys;

/* The keys of a file's text (NULL: no file) and of the options, joined by "|"; NULL: it failed. */
static const char *read_keys(const char *file, size_t n_options, const char *const *options)
{
    static char joined[4096];
    struct serve_options o = { .api_key_file = NULL };
    if (file) {
        FILE *to = fopen(path, "w");
        fputs(file, to);
        fclose(to);
        o.api_key_file = path;
    }
    for (size_t i = 0; i < n_options; i++) o.api_keys.text[o.api_keys.n++] = options[i];
    captured_begin(&out, STDERR_FILENO);
    const bool is_read = serve_keys_read(&keys, &o);
    captured_end(&out);
    *joined = 0;
    for (size_t i = 0; i < keys.n; i++) {
        if (i) strcat(joined, "|");
        strcat(joined, keys.key[i]);
    }
    return is_read ? joined : NULL;
}

static int make_path(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/paceline_keys_%ld", (long)getpid());
    return 0;
}

static int remove_path(void **state)
{
    (void)state;
    serve_keys_free(&keys);
    unlink(path);
    return 0;
}

static void each_way_to_write_them(void **state)
{
    static const char *const options[] = { "a, b", "\tc ,,", "d e" };
    (void)state;
    assert_string_equal(read_keys(NULL, 0, NULL), "");
    assert_string_equal(read_keys(NULL, 3, options), "a|b|c|d e");
    assert_string_equal(read_keys("one\r\n\n  two \t\nthree,four", 0, NULL), "one|two|three,four");
    assert_string_equal(read_keys("one\n", 3, options), "one|a|b|c|d e");
    assert_string_equal(read_keys("x", 1, options), "x|a|b");
}

/* What cannot be read leaves the keys as they were. */
static void a_slip(void **state)
{
    char wanted[96];
    (void)state;
    assert_string_equal(read_keys("kept\n", 0, NULL), "kept");
    assert_null(read_keys(" \n\r\n", 0, NULL));
    snprintf(wanted, sizeof wanted, "paceline: %s: holds no key\n", path);
    assert_string_equal(out.text, wanted);
    assert_true(keys.n == 1 && !strcmp(keys.key[0], "kept"));
    unlink(path);
    struct serve_options o = { .api_key_file = path };
    captured_begin(&out, STDERR_FILENO);
    assert_false(serve_keys_read(&keys, &o));
    snprintf(wanted, sizeof wanted, "paceline: %s: No such file or directory\n", path);
    assert_string_equal(captured_end(&out), wanted);
    assert_true(keys.n == 1 && !strcmp(keys.key[0], "kept"));
}

/* As many as there is room for; of the file first. */
static void many(void **state)
{
    enum { MOST = sizeof keys.key / sizeof *keys.key };
    static const char *const options[] = { "option" };
    char text[MOST * 4 + 8] = "";
    (void)state;
    for (int i = 0; i < MOST - 1; i++) snprintf(text + strlen(text), 8, "k%d\n", i);
    read_keys(text, 1, options);
    assert_int_equal(keys.n, MOST);
    assert_string_equal(keys.key[MOST - 2], "k62");
    assert_string_equal(keys.key[MOST - 1], "option");
    strcat(text, "more\n");
    read_keys(text, 1, options);
    assert_int_equal(keys.n, MOST);
    assert_string_equal(keys.key[MOST - 1], "more");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_way_to_write_them, make_path, remove_path),
        cmocka_unit_test_setup_teardown(a_slip, make_path, remove_path),
        cmocka_unit_test_setup_teardown(many, make_path, remove_path),
    };
    const int n_open = n_open_fds(), failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed || n_open_fds() != n_open;     /* what was opened was closed */
}
