/* Activation quantising: the plain C does what quantise.h says, every instruction set gives its
 * bytes, and no input whatever leads to a scale or sum that is not finite. */
#include <float.h>

#include "backend/cpu/kernels/quantise.h"
#include "product_fixture.h"

enum { N = 768, LD = 3 };

/* Inputs by kind: what a block is filled with. */
enum input { NORMAL, ZERO, NEGATIVE_ZERO, DENORMAL, TINY, SMALL, LARGE, BEYOND, NON_FINITE, MIXED,
             ALL_BITS, TIES, N_INPUTS };

static float float_of_bits(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

static float input_value(struct rng *r, enum input input, uint32_t k)
{
    static const float odd[] = { NAN, INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, FLT_MIN, 0, -1, 1 };

    switch (input) {
    case NORMAL: return random_normal(r);
    case ZERO: return 0;
    case NEGATIVE_ZERO: return -0.0f;
    case DENORMAL: return float_of_bits((uint32_t)rng_below(r, 0x800000));
    case TINY: return random_normal(r) * 0x1p-111f;     /* around the smallest top in use */
    case SMALL: return random_normal(r) * 0x1p-60f;
    case LARGE: return random_normal(r) * 0x1p98f;      /* around the largest value in use */
    case BEYOND: return k % 2 ? FLT_MAX : -FLT_MAX;
    case NON_FINITE: return odd[rng_below(r, 3)];
    case MIXED: return odd[rng_below(r, COUNT(odd))];
    case ALL_BITS: return float_of_bits((uint32_t)rng_u64(r));
    default: return k % 32 == 0 ? 127 : (float)(int)(rng_below(r, 254) - 127) + 0.5f;
    }
}

struct quantised {
    struct act_x256 x256[N / 256 * LD];
    struct act_x256u x256u[N / 256 * LD];
    struct act_x32 x32[N / 32 * LD];
};

static void quantise(const struct cpu_kernels *k, const float *x, struct quantised *to)
{
    memset(to, 0x5a, sizeof *to);
    k->quantise_x256(x, N, to->x256 + 1, to->x256u + 1, LD);
    k->quantise_x32(x, N, to->x32 + 1, LD);
}

static void each_isa_gives_the_scalar_bytes(void **state)
{
    const struct cpu_kernels scalar = scalar_kernels();
    const char *names[8];
    const uint32_t n = cpu_kernels_list(names, COUNT(names));
    static struct quantised want, got;
    static float x[N];

    (void)state;
    for (uint32_t i = 0; i < n; i++) {
        const struct cpu_kernels k = kernels_of(names[i]);
        for (int input = 0; input < N_INPUTS; input++)
            for (uint64_t seed = 0; seed < 50; seed++) {
                struct rng r;
                rng_seed(&r, seed);
                for (uint32_t j = 0; j < N; j++) x[j] = input_value(&r, (enum input)input, j);
                quantise(&scalar, x, &want);
                quantise(&k, x, &got);
                if (memcmp(&want, &got, sizeof want))
                    fail_msg("isa=%s input=%d seed=%llu", names[i], input,
                             (unsigned long long)seed);
            }
    }
}

static float usable(float x)
{
    return fabsf(x) <= QUANTISE_MAX ? x : 0;            /* NaN compares false */
}

/* Checks one block of n values against the rules, in doubles. */
static void check_block(const float *x, uint32_t n, const int8_t *q, float d)
{
    float top = 0;

    for (uint32_t k = 0; k < n; k++) top = fmaxf(top, fabsf(usable(x[k])));
    if (top < QUANTISE_MIN) top = 0;
    assert_true(d == top / 127.0f);
    for (uint32_t k = 0; k < n; k++) {
        const double exact = top > 0 ? usable(x[k]) * 127.0 / top : 0;
        assert_true(q[k] >= -127 && q[k] <= 127);
        if (!(fabs(q[k] - exact) <= 0.5 + 127 * 0x1p-22))
            fail_msg("x=%a top=%a: %d, exact %f", (double)x[k], (double)top, q[k], exact);
    }
}

static void scalar_follows_the_rules(void **state)
{
    const struct cpu_kernels scalar = scalar_kernels();
    static struct quantised to;
    static float x[N];

    (void)state;
    for (int input = 0; input < N_INPUTS; input++)
        for (uint64_t seed = 0; seed < 50; seed++) {
            struct rng r;
            rng_seed(&r, seed);
            for (uint32_t k = 0; k < N; k++) x[k] = input_value(&r, (enum input)input, k);
            quantise(&scalar, x, &to);
            for (uint32_t b = 0; b < N / 256; b++) {
                const struct act_x256 *a = &to.x256[b * LD + 1];
                const struct act_x256u *u = &to.x256u[b * LD + 1];
                check_block(x + 256 * b, 256, a->q, a->d);
                assert_true(u->d == a->d);
                for (int s = 0; s < 8; s++) {
                    int sum = 0;
                    for (int k = 0; k < 32; k++) sum += a->q[32 * s + k];
                    assert_int_equal(a->sum32[s], sum);
                }
                for (int k = 0; k < 256; k++) assert_int_equal(u->u[k], a->q[k] + 128);
            }
            for (uint32_t b = 0; b < N / 32; b++) {
                const struct act_x32 *a = &to.x32[b * LD + 1];
                int sum = 0;
                check_block(x + 32 * b, 32, a->q, a->d);
                for (int k = 0; k < 32; k++) sum += a->q[k];
                assert_int_equal(a->start, -128 * sum);
                assert_true(a->d_sum == a->d * (float)sum && isfinite(a->d_sum));
            }
        }
}

static void ties_go_to_even(void **state)
{
    const struct cpu_kernels scalar = scalar_kernels();
    const float x[32] = { 127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 126.5f, -126.5f };
    const int8_t want[9] = { 127, 0, 2, 2, 0, -2, -2, 126, -126 };
    struct act_x32 to;

    (void)state;
    scalar.quantise_x32(x, 32, &to, 1);
    assert_memory_equal(to.q, want, sizeof want);
}

/* Either output of quantise_x256 may be left out; the other is the same. */
static void outputs_are_optional(void **state)
{
    const char *names[8];
    const uint32_t n = cpu_kernels_list(names, COUNT(names));
    float x[256];
    struct rng r;

    (void)state;
    rng_seed(&r, 3);
    for (int j = 0; j < 256; j++) x[j] = random_normal(&r);
    for (uint32_t i = 0; i < n; i++) {
        const struct cpu_kernels k = kernels_of(names[i]);
        struct act_x256 both = { .d = 0 }, alone = { .d = 0 };
        struct act_x256u both_u = { .d = 0 }, alone_u = { .d = 0 };
        k.quantise_x256(x, 256, &both, &both_u, 1);
        k.quantise_x256(x, 256, &alone, NULL, 1);
        k.quantise_x256(x, 256, NULL, &alone_u, 1);
        assert_memory_equal(&both, &alone, sizeof both);
        assert_memory_equal(&both_u, &alone_u, sizeof both_u);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_isa_gives_the_scalar_bytes),
        cmocka_unit_test(scalar_follows_the_rules),
        cmocka_unit_test(ties_go_to_even),
        cmocka_unit_test(outputs_are_optional),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
