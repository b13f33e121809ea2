/* The status list, and messages that are cut, cleaned and made of themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"

static void test_every_status_has_name_and_code(void **state)
{
    (void)state;
    for (int a = 0; a < PL_N_STATUS; a++) {
        assert_true(strlen(pl_status_name((pl_status)a)) > 1);
        assert_in_range(pl_status_http((pl_status)a), 200, 599);
        assert_int_equal(pl_status_http((pl_status)a) == 200, a == PL_OK);
        for (int b = 0; b < a; b++)
            assert_string_not_equal(pl_status_name((pl_status)a), pl_status_name((pl_status)b));
    }
    assert_string_equal(pl_status_name(PL_E_BUSY), "queue_full");
    assert_int_equal(pl_status_http(PL_E_BUSY), 429);
    assert_string_equal(pl_status_name((pl_status)-1), "unknown_status");
    assert_int_equal(pl_status_http(PL_N_STATUS), 500);
}

static void test_fill(void **state)
{
    (void)state;
    pl_err err = { 0 };
    assert_int_equal(pl_fail(&err, PL_E_IO, "%s: found %d", "a", 3), PL_E_IO);
    assert_int_equal(err.status, PL_E_IO);
    assert_string_equal(err.text, "a: found 3");
    assert_int_equal(pl_fail(NULL, PL_E_PARAM, "nobody %s", "reads this"), PL_E_PARAM);
    pl_fail(&err, PL_E_FORMAT, "part 2: %s", err.text);
    assert_string_equal(err.text, "part 2: a: found 3");
}

static void test_one_line(void **state)
{
    (void)state;
    pl_err err;
    pl_fail(&err, PL_E_IO, "a\nb\x1b[2J\tc\x7f %s", "d\r\n");
    assert_string_equal(err.text, "a?b?[2J?c? d??");
}

static const size_t longest = PL_ERR_TEXT_BYTES - 1;

static void test_both_ends_stay(void **state)
{
    (void)state;
    for (size_t n = 0; n < 5000; n += n < 1000 ? 1 : 97) {
        pl_err err;
        char path[5001];
        memset(path, 'p', n);
        path[n] = 0;
        pl_fail(&err, PL_E_IO, "start %s end", path);
        assert_true(strlen(err.text) == (n + 10 < longest ? n + 10 : longest));
        assert_memory_equal(err.text, "start ", 6);
        assert_int_equal(strstr(err.text, "...") != NULL, n + 10 > longest);
        if (n < 4000) assert_string_equal(err.text + strlen(err.text) - 4, " end");
    }
}

/* A message goes into JSON: it must not become ill-formed UTF-8 by being cut. */
static void test_whole_characters(void **state)
{
    (void)state;
    for (size_t shift = 0; shift < 8; shift++) {
        pl_err err;
        char text[900] = "";
        memset(text, 'x', shift);
        for (size_t i = 0; i < 200; i++) strcat(text, i % 2 ? "\xe2\x82\xac" : "\xf0\x9f\x9a\xb4");
        pl_fail(&err, PL_E_IO, "%s", text);
        assert_true(strlen(err.text) > longest - 10);
        size_t wanted = 0;  /* bytes of the character begun that are still to come */
        for (const char *c = err.text; *c; c++) {
            const unsigned char byte = (unsigned char)*c;
            assert_int_equal((byte & 0xc0) == 0x80, wanted > 0);
            wanted = wanted ? wanted - 1 : byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : 0;
        }
        assert_int_equal(wanted, 0);
    }
}

/* A number that is no status, as a library of another version may give one. */
static void test_no_status(void **state)
{
    static const int none[] = { PL_N_STATUS, PL_N_STATUS + 1, 1000, -1 };
    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_string_equal(pl_status_name((pl_status)none[i]), "unknown_status");
        assert_int_equal(pl_status_http((pl_status)none[i]), 500);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_status_has_name_and_code),
        cmocka_unit_test(test_fill),
        cmocka_unit_test(test_one_line),
        cmocka_unit_test(test_both_ends_stay),
        cmocka_unit_test(test_whole_characters),
        cmocka_unit_test(test_no_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
