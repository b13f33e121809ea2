/* What mixers and gates compute, of every instruction set this machine has: near double precision,
 * and where products and sums are rounded apart the same bytes as plain C. */
#include "kv_reference.h"

enum { N_KEY = 48, MAX_CHANNELS = 320, MAX_TAPS_HERE = 4, N_STEPS = 200 };

typedef void check_fn(const struct cpu_kernels *k, const struct cpu_kernels *plain, struct rng *r);

static void for_each_isa(check_fn *check)
{
    const char *names[8];
    const uint32_t n = cpu_kernels_list(names, COUNT(names));
    const struct cpu_kernels plain = kernels_of("scalar");
    for (uint32_t i = 0; i < n; i++) {
        const struct cpu_kernels k = kernels_of(names[i]);
        struct rng r;
        rng_seed(&r, 11);
        check(&k, &plain, &r);
    }
}

static void fill(struct rng *r, float *x, uint32_t n, float scale)
{
    for (uint32_t i = 0; i < n; i++) x[i] = scale * random_normal(r);
}

static void assert_near(float got, double want, double tolerance, const char *isa, const char *what)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("isa=%s %s: %.9g, exact %.9g", isa, what, (double)got, want);
}

/* ---- a head's matrix ------------------------------------------------------------------------ */

/* What kernels.h says of state_step, in double. */
static void step_exactly(double *block, const struct state_column *c, const float *value,
                         double *out)
{
    for (uint32_t e = 0; e < STATE_BLOCK; e++) {
        double known = 0;
        for (uint32_t i = 0; i < c->n_key && c->corrects; i++)
            known += (double)c->key[i] * block[i * STATE_BLOCK + e];
        const double change =
            (double)c->rate * ((double)value[e] - (double)c->shrink * known);
        out[e] = 0;
        for (uint32_t i = 0; i < c->n_key; i++) {
            double *at = &block[i * STATE_BLOCK + e];
            *at = (double)c->shrink * *at + (double)c->key[i] * change;
            out[e] += (double)c->query[i] * *at;
        }
    }
}

/* Column after column, as a reply goes on: what is known must not drift away. */
static void check_steps(const struct cpu_kernels *k, const struct cpu_kernels *plain, struct rng *r)
{
    static float block[N_KEY * STATE_BLOCK], of_plain[N_KEY * STATE_BLOCK];
    static double exact[N_KEY * STATE_BLOCK];
    for (int corrects = 0; corrects < 2; corrects++) {
        memset(block, 0, sizeof block);
        memset(of_plain, 0, sizeof of_plain);
        memset(exact, 0, sizeof exact);
        for (int step = 0; step < N_STEPS; step++) {
            float query[N_KEY], key[N_KEY], value[STATE_BLOCK], out[STATE_BLOCK], same[STATE_BLOCK];
            double want[STATE_BLOCK];
            fill(r, query, N_KEY, 1);
            fill(r, key, N_KEY, 1 / sqrtf(N_KEY));
            fill(r, value, STATE_BLOCK, 1);
            const struct state_column c = { query, key, N_KEY, 0.9f + 0.1f * (float)rng_unit(r),
                                            (float)rng_unit(r), corrects };
            k->state_step(block, &c, value, out);
            plain->state_step(of_plain, &c, value, same);
            step_exactly(exact, &c, value, want);
            assert_memory_equal(out, same, sizeof out);
            for (uint32_t e = 0; e < STATE_BLOCK; e++)
                assert_near(out[e], want[e], 2e-4, k->isa, "state_step");
        }
        assert_memory_equal(block, of_plain, sizeof block);
    }
}

static void a_matrix_goes_on_column_by_column(void **state)
{
    (void)state;
    for_each_isa(check_steps);
}

/* ---- the convolution, and what stands beside it --------------------------------------------- */

static void check_convolve(const struct cpu_kernels *k, const struct cpu_kernels *plain,
                           struct rng *r)
{
    static float in[MAX_TAPS_HERE][MAX_CHANNELS], taps[MAX_TAPS_HERE * MAX_CHANNELS],
        bias[MAX_CHANNELS], out[MAX_CHANNELS + 1], same[MAX_CHANNELS];
    for (uint32_t n = 16; n <= MAX_CHANNELS; n += 16)
        for (uint32_t n_taps = 1; n_taps <= MAX_TAPS_HERE; n_taps++)
            for (uint32_t n_missing = 0; n_missing <= n_taps; n_missing++) {
                const float *from[MAX_TAPS_HERE];
                for (uint32_t t = 0; t < n_taps; t++) {
                    fill(r, in[t], n, 1);
                    from[t] = t < n_missing ? NULL : in[t];
                }
                fill(r, taps, n_taps * n, 1);
                fill(r, bias, n, 1);
                const float *added = n % 32 ? bias : NULL;
                out[n] = -7;
                k->convolve(from, taps, added, n_taps, n, out);
                plain->convolve(from, taps, added, n_taps, n, same);
                assert_memory_equal(out, same, n * sizeof *out);
                assert_true(out[n] == -7);
                for (uint32_t i = 0; i < n; i++) {
                    double want = added ? (double)bias[i] : 0;
                    for (uint32_t t = n_missing; t < n_taps; t++)
                        want += (double)in[t][i] * (double)taps[t * n + i];
                    assert_near(out[i], want, 1e-5, k->isa, "convolve");
                }
            }
}

static void inputs_that_are_missing_count_nothing(void **state)
{
    (void)state;
    for_each_isa(check_convolve);
}

static void check_gates(const struct cpu_kernels *k, const struct cpu_kernels *plain, struct rng *r)
{
    static const float extremes[] = { 0, 60, -60, 88, -88, 200, -200, 1e20f, -1e20f };
    float x[64], gate[64], out[64], same[64];
    fill(r, x, 64, 3);
    fill(r, gate, 64, 4);
    memcpy(gate, extremes, sizeof extremes);
    memcpy(out, x, sizeof x);
    k->times_sigmoid(out, gate, 64);
    for (uint32_t i = 0; i < 64; i++) {
        const double want = (double)x[i] / (1 + exp(-(double)gate[i]));
        assert_near(out[i], want, fabs(want) * 2e-5 + 1e-36, k->isa, "times_sigmoid");
    }
    k->gate(gate, x, 64, ACTIVATION_RELU, out);
    for (uint32_t i = 0; i < 64; i++)
        assert_true(out[i] == (gate[i] > 0 ? gate[i] * x[i] : 0));
    memcpy(out, x, sizeof x);
    memcpy(same, x, sizeof x);
    k->multiply(out, gate, 64);
    plain->multiply(same, gate, 64);
    assert_memory_equal(out, same, sizeof out);
    for (uint32_t i = 0; i < 64; i++) assert_true(out[i] == x[i] * gate[i]);
}

static void gates_are_near_exact(void **state)
{
    (void)state;
    for_each_isa(check_gates);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_matrix_goes_on_column_by_column),
        cmocka_unit_test(inputs_that_are_missing_count_nothing),
        cmocka_unit_test(gates_are_near_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
