/* strbuf: against a plain array under random calls, and its sticky failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/strbuf.h"

static void test_agrees_with_an_array(void **state)
{
    (void)state;
    static char want[1 << 20];
    size_t n = 0;
    struct strbuf b = { 0 };
    struct rng r;
    rng_seed(&r, 3);
    for (int round = 0; round < 20000; round++) {
        char piece[300];
        const size_t n_piece = rng_below(&r, rng_below(&r, 10) ? 20 : sizeof piece);
        for (size_t i = 0; i < n_piece; i++) piece[i] = (char)('a' + rng_below(&r, 26));
        piece[n_piece] = 0;
        switch (rng_below(&r, 8)) {
        case 0:
            strbuf_add_str(&b, piece);
            memcpy(want + n, piece, n_piece);
            n += n_piece;
            break;
        case 1:
            strbuf_addf(&b, "%s|%d", piece, 42);
            memcpy(want + n, piece, n_piece);
            memcpy(want + n + n_piece, "|42", 3);
            n += n_piece + 3;
            break;
        case 2: {
            const size_t n_drop = rng_below(&r, n + 1);
            strbuf_drop(&b, n_drop);
            memmove(want, want + n_drop, n - n_drop);
            n -= n_drop;
            break;
        }
        case 3:
            if (rng_below(&r, 20) == 0) {
                strbuf_clear(&b);
                n = 0;
            }
            break;
        default:
            strbuf_add(&b, piece, n_piece);
            memcpy(want + n, piece, n_piece);
            n += n_piece;
        }
        assert_false(b.failed);
        assert_int_equal(b.n, n);
        if (b.bytes) {
            assert_memory_equal(b.bytes, want, n);
            assert_int_equal(b.bytes[n], 0);
        }
    }
    strbuf_free(&b);
    assert_null(b.bytes);
}

static void test_empty(void **state)
{
    (void)state;
    struct strbuf b = { 0 };
    strbuf_clear(&b);
    strbuf_drop(&b, 0);
    assert_null(b.bytes);
    strbuf_add(&b, NULL, 0);
    assert_string_equal(b.bytes, "");
    strbuf_addf(&b, "%s", "");
    assert_int_equal(b.n, 0);
    strbuf_add(&b, "a\0b", 3);
    assert_memory_equal(b.bytes, "a\0b", 4);
    strbuf_free(&b);
    strbuf_free(&b);
}

static void test_failure_sticks(void **state)
{
    (void)state;
    static const size_t sizes[] = { SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 64, SIZE_MAX / 2 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct strbuf b = { 0 };
        strbuf_add_str(&b, "some");
        strbuf_add(&b, "x", sizes[i]);  /* never read: no such memory can be had */
        assert_true(b.failed);
        assert_true(b.bytes == NULL && b.n == 0);
        strbuf_add_str(&b, "more");
        strbuf_addf(&b, "%d", 1);
        strbuf_drop(&b, 0);
        assert_true(b.failed && b.bytes == NULL && b.n == 0);
        strbuf_free(&b);
        assert_false(b.failed);
    }
}

/* In pieces of any size, with more added in between: all of it comes once, in order. */
static void test_is_taken_in_pieces(void **state)
{
    (void)state;
    struct strbuf b = { 0 };
    struct rng r;
    size_t at = 0;
    char to[16];
    uint8_t next_in = 0, next_out = 0;
    rng_seed(&r, 5);
    assert_int_equal(strbuf_take(&b, &at, to, sizeof to), 0);
    for (int round = 0; round < 5000; round++) {
        for (uint64_t n = rng_below(&r, 12); n; n--, next_in++) strbuf_add(&b, &next_in, 1);
        const size_t n_left = b.n - at, max = rng_below(&r, sizeof to + 1);
        const size_t n = strbuf_take(&b, &at, to, max);
        assert_int_equal(n, n_left < max ? n_left : max);
        for (size_t i = 0; i < n; i++) assert_int_equal((uint8_t)to[i], next_out++);
        if (n == n_left) assert_true(b.n == 0 && at == 0);
    }
    strbuf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agrees_with_an_array),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_failure_sticks),
        cmocka_unit_test(test_is_taken_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
