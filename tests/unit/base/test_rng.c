/* Random numbers: the generators' published values, which a seed promises for ever, and what a seed
 * and a place give. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"

/* Known answers of Philox 4x32-10, as its authors publish them with Random123. */
static void test_published_values(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], want[4];
    } known[] = {
        { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
          { 0xffffffff, 0xffffffff },
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
          { 0xa4093822, 0x299f31d0 },
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint32_t x[4];
        memcpy(x, known[i].counter, sizeof x);
        rng_philox(x, known[i].key);
        assert_memory_equal(x, known[i].want, sizeof x);
    }
}

/* The first two words, the second above, 53 bits of them. */
static void test_unit_of_the_published_values(void **state)
{
    (void)state;
    assert_true(rng_unit_at(0, 0) == (double)(0xe169c58d6627e8d5u >> 11) * 0x1p-53);
    double unit[2];
    rng_units_at(0, 0, unit);
    assert_true(unit[0] == rng_unit_at(0, 0));
    assert_true(unit[1] == (double)(0x9b00dbd8bc57ac4cu >> 11) * 0x1p-53);
    uint32_t x[4] = { 0x89abcdef, 0x01234567, 0, 0 };
    rng_philox(x, (const uint32_t[]){ 0x76543210, 0xfedcba98 });
    assert_true(rng_unit_at(0xfedcba9876543210u, 0x0123456789abcdefu) ==
                (double)(((uint64_t)x[1] << 32 | x[0]) >> 11) * 0x1p-53);
}

/* Neighbours, of seeds as of places, are as good as strangers: each of 64 cells gets its share,
 * alone and together with the one before it. */
static void test_neighbours_are_independent(void **state)
{
    (void)state;
    enum { N = 1 << 16, CELLS = 64 };
    static uint32_t single[2][CELLS], pair[2][CELLS];
    for (uint64_t i = 0; i < N; i++)
        for (int by_seed = 0; by_seed < 2; by_seed++) {
            const double u = by_seed ? rng_unit_at(i, 7) : rng_unit_at(7, i);
            const double v = by_seed ? rng_unit_at(i + 1, 7) : rng_unit_at(7, i + 1);
            assert_true(u >= 0 && u < 1);
            single[by_seed][(int)(u * CELLS)]++;
            pair[by_seed][(int)(u * 8) * 8 + (int)(v * 8)]++;
        }
    for (int by_seed = 0; by_seed < 2; by_seed++) {
        const uint32_t *counts[] = { single[by_seed], pair[by_seed] };
        for (int k = 0; k < 2; k++) {
            double chi2 = 0, want = (double)N / CELLS;
            for (int i = 0; i < CELLS; i++)
                chi2 += (counts[k][i] - want) * (counts[k][i] - want) / want;
            /* mean 63, variance 126: five standard deviations to either side are no chance */
            if (!(chi2 > 63 - 56.2 && chi2 < 63 + 56.2))
                fail_msg("chi2 %.1f of 64 cells, by %s, %s", chi2, by_seed ? "seed" : "place",
                         k ? "pairs" : "single");
        }
    }
}

/* ---- xoshiro256**
 * ------------------------------------------------------------------------------ */

static void known_numbers(void **state)
{
    static const struct {
        uint64_t seed, number[5];
    } known[] = {
        { 0, { 0x99ec5f36cb75f2b4, 0xbf6e1f784956452a, 0x1a5f849d4933e6e0, 0x6aa594f1262d2d2c,
               0xbba5ad4a1f842e59 } },
        { 42, { 0x15780b2e0c2ec716, 0x6104d9866d113a7e, 0xae17533239e499a1, 0xecb8ad4703b360a1,
                0xfde6dc7fe2ec5e64 } },
    };
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct rng r;
        rng_seed(&r, known[i].seed);
        for (size_t k = 0; k < 5; k++) assert_true(rng_u64(&r) == known[i].number[k]);
    }
}

/* Each a step of the same generator: the upper 53 bits, and the upper part of a product. */
static void parts_of_a_number(void **state)
{
    struct rng r, again;
    (void)state;
    rng_seed(&r, 7);
    for (int i = 0; i < 1000; i++) {
        again = r;
        const uint64_t number = rng_u64(&again);
        again = r;
        const double unit = rng_unit(&again);
        assert_true(unit == (double)(number >> 11) / 9007199254740992.0 && unit >= 0 && unit < 1);
        again = r;
        assert_true(rng_below(&again, UINT64_C(1) << 32) == number >> 32);
        again = r;
        assert_true(rng_below(&again, 1) == 0);
        r = again;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_values),
        cmocka_unit_test(test_unit_of_the_published_values),
        cmocka_unit_test(test_neighbours_are_independent),
        cmocka_unit_test(known_numbers),
        cmocka_unit_test(parts_of_a_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
