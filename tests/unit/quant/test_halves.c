/* f16 and bf16: every value against arithmetic in double, and the rounding of every interval. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "quant/quant.h"

static float f32_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* What IEEE 754 says a finite binary16 is. */
static double f16_by_definition(uint16_t h)
{
    const int exponent = h >> 10 & 31, fraction = h & 1023;
    const double magnitude =
        exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return h & 0x8000 ? -magnitude : magnitude;
}

static void test_f16_values(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        const float x = f32_of_f16((uint16_t)h);
        const int exponent = h >> 10 & 31, fraction = h & 1023;
        if (!signbit(x) != !(h & 0x8000)) fail_msg("%04x: sign of %a", h, x);
        if (exponent == 31 && fraction ? !isnan(x)
            : exponent == 31           ? !isinf(x)
                                       : (double)x != f16_by_definition((uint16_t)h))
            fail_msg("%04x: %a", h, x);
    }
}

static void test_f16_round_trip(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        const uint16_t back = f16_of_f32(f32_of_f16((uint16_t)h));
        const int is_nan = (h & 0x7c00) == 0x7c00 && (h & 0x3ff);
        if (back != (is_nan ? h | 0x200 : h)) fail_msg("%04x came back as %04x", h, back);
    }
}

/* Between two neighbours: the middle goes to the even one, anything beside it to the nearer. */
static void test_f16_rounding(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x7c00; h++) {
        const double low = f16_by_definition((uint16_t)h);
        const double high = h == 0x7bff ? 65536 : f16_by_definition((uint16_t)(h + 1));
        const float middle = (float)((low + high) / 2);     /* exact: one more bit of fraction */
        const uint16_t even = (uint16_t)(h + (h & 1));
        const struct { float x; uint16_t want; } cases[] = {
            { middle, even },
            { nextafterf(middle, 0), (uint16_t)h },
            { nextafterf(middle, INFINITY), (uint16_t)(h + 1) },
            { nextafterf((float)low, INFINITY), (uint16_t)h },
            { nextafterf((float)high, 0), (uint16_t)(h + 1) },
        };
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            const uint16_t got = f16_of_f32(cases[i].x), minus = f16_of_f32(-cases[i].x);
            if (got != cases[i].want || minus != (cases[i].want | 0x8000))
                fail_msg("%a became %04x, its negative %04x; %04x is wanted", cases[i].x, got,
                         minus, cases[i].want);
        }
    }
}

static void test_f16_limits(void **state)
{
    (void)state;
    static const struct { uint32_t bits; uint16_t want; } cases[] = {
        { 0x00000000, 0x0000 }, { 0x80000000, 0x8000 },
        { 0x00000001, 0x0000 }, { 0x807fffff, 0x8000 },     /* binary32 denormals */
        { 0x477fefff, 0x7bff }, { 0x477ff000, 0x7c00 },     /* just below 65520, and 65520 */
        { 0x7f7fffff, 0x7c00 }, { 0xff7fffff, 0xfc00 },
        { 0x7f800000, 0x7c00 }, { 0xff800000, 0xfc00 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(f16_of_f32(f32_of_bits(cases[i].bits)), cases[i].want);
    for (uint32_t payload = 1; payload < 1u << 23; payload = payload * 2 + 1) {
        const uint16_t h = f16_of_f32(f32_of_bits(0x7f800000u | payload));
        assert_true((h & 0x7c00) == 0x7c00 && (h & 0x3ff));
    }
}

static void test_f16_random(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 11);
    for (int i = 0; i < 1000000; i++) {
        const float x = f32_of_bits((uint32_t)rng_u64(&r));
        if (!(fabsf(x) < 65504)) continue;
        const uint16_t h = f16_of_f32(x);
        const double off = fabs(f16_by_definition(h) - x);
        for (int d = -1; d <= 1; d += 2) {
            const uint16_t other = (uint16_t)(h + d);
            if ((h & 0x7fff) == 0 && d < 0) continue;
            if (fabs(f16_by_definition(other) - x) < off)
                fail_msg("%a became %04x; %04x is nearer", x, h, other);
        }
    }
}

static void test_bf16_values(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        const float x = f32_of_bf16((uint16_t)h);
        uint32_t bits;
        memcpy(&bits, &x, sizeof bits);
        assert_int_equal(bits, h << 16);
    }
    assert_true(f32_of_bf16(0x3f80) == 1.0f && f32_of_bf16(0xc040) == -3.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f16_values),   cmocka_unit_test(test_f16_round_trip),
        cmocka_unit_test(test_f16_rounding), cmocka_unit_test(test_f16_limits),
        cmocka_unit_test(test_f16_random),   cmocka_unit_test(test_bf16_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
