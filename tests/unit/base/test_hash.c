/* hash: XXH3's published values, and a team's hash that depends on the bytes alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/hash.h"

static void test_known_values(void **state)
{
    (void)state;
    assert_true(hash64("", 0) == 0x2d06800538d394c2u);
    const struct hash128 empty = hash128("", 0);
    assert_true(empty.high == 0x99aa06d3014798d8u && empty.low == 0x6001c324468d497fu);
    assert_false(hash128_equal(empty, hash128("a", 1)));
}

static struct hash128 by_team(uint32_t n_threads, const uint8_t *bytes, size_t n)
{
    struct thread_pool *pool;
    struct hash128 hash = { 0 };
    pl_err err;
    assert_int_equal(thread_pool_open(&pool, n_threads, &err), PL_OK);
    assert_int_equal(hash128_by_team(pool, bytes, n, &hash, &err), PL_OK);
    thread_pool_close(pool);
    return hash;
}

static void test_a_team_of_any_size_agrees(void **state)
{
    (void)state;
    const size_t piece = 4 << 20, sizes[] = { 0, 1, piece - 1, piece, piece + 1, 3 * piece + 77 };
    uint8_t *bytes = malloc(4 * piece);
    assert_non_null(bytes);
    for (size_t i = 0; i < 4 * piece; i++) bytes[i] = (uint8_t)(i * 2654435761u >> 24);

    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const size_t n = sizes[s];
        const struct hash128 one = by_team(1, bytes, n);
        assert_true(hash128_equal(one, by_team(3, bytes, n)));
        if (n == 0) continue;
        for (size_t at = 0; at < n; at += n / 3 + 1) {
            bytes[at] ^= 1;
            assert_false(hash128_equal(one, by_team(2, bytes, n)));
            bytes[at] ^= 1;
        }
        assert_false(hash128_equal(one, by_team(2, bytes, n - 1)));
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_values),
        cmocka_unit_test(test_a_team_of_any_size_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
