/* Norms, activations, RoPE, additions and KV writing of every instruction set this machine has,
 * against double precision or, where bytes are promised, against what kernels.h says in words. */
#include "kv_reference.h"

enum { GUARD = 16, MAX_N = 4096 };

static const uint32_t lengths[] = { 16, 32, 48, 64, 96, 256, 576, 896, MAX_N };
static const uint32_t head_sizes[] = { 32, 64, 96, 128, 160, 192, 224, 256, 512 };
static const float guard_value = -12345.678f;

typedef void check_fn(const struct cpu_kernels *k, struct rng *r);

static void for_each_isa(check_fn *check)
{
    const char *names[8];
    const uint32_t n = cpu_kernels_list(names, COUNT(names));

    assert_true(n >= 1 && n <= COUNT(names));
    for (uint32_t i = 0; i < n; i++) {
        const struct cpu_kernels k = kernels_of(names[i]);
        struct rng r;
        rng_seed(&r, 7);
        check(&k, &r);
    }
}

/* n values between guards; the returned pointer is deliberately not aligned to a register. */
static float *guarded(float *buffer, const float *values, uint32_t n)
{
    for (uint32_t i = 0; i < GUARD; i++) buffer[i] = buffer[GUARD + 1 + n + i] = guard_value;
    buffer[GUARD] = guard_value;
    memcpy(buffer + GUARD + 1, values, n * sizeof *values);
    return buffer + GUARD + 1;
}

static void check_guards(const float *buffer, uint32_t n, const char *isa, const char *what)
{
    for (uint32_t i = 0; i <= 2 * GUARD; i++) {
        const uint32_t at = i <= GUARD ? i : i + n;
        if (buffer[at] != guard_value) fail_msg("isa=%s %s n=%u writes outside", isa, what, n);
    }
}

static void check_near(float got, double want, double tolerance, const char *isa, const char *what,
                       uint32_t n, uint32_t i)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("isa=%s %s n=%u value %u: %.9g, exact %.9g, tolerance %.3g", isa, what, n, i,
                 (double)got, want, tolerance);
}

/* ---- norms ---------------------------------------------------------------------------------- */

static void check_norm(const struct cpu_kernels *k, struct rng *r)
{
    static const float sizes[] = { 1, 1e-6f, 1e15f, 0 };
    static float x[MAX_N], weight[MAX_N], buffer[MAX_N + 2 * GUARD + 1];

    for (size_t l = 0; l < COUNT(lengths); l++)
        for (size_t s = 0; s < COUNT(sizes); s++) {
            const uint32_t n = lengths[l];
            const float eps = 1e-6f;
            double sum = 0;
            for (uint32_t i = 0; i < n; i++) {
                x[i] = random_normal(r) * sizes[s];
                weight[i] = random_normal(r);
                sum += (double)x[i] * x[i];
            }
            float *out = guarded(buffer, x, n);
            k->rms_norm(out, weight, n, eps, out);
            check_guards(buffer, n, k->isa, "rms_norm");
            for (uint32_t i = 0; i < n; i++) {
                const double want = x[i] / sqrt(sum / n + (double)eps) * weight[i];
                check_near(out[i], want, 1e-6 * fabs(want), k->isa, "rms_norm", n, i);
            }
        }
}

static void norms_are_near_exact(void **state)
{
    (void)state;
    for_each_isa(check_norm);
}

/* ---- activations ---------------------------------------------------------------------------- */

/* The argument of the exponential: its rounding is what the relative error grows with. */
static double exponent_of(double x, enum activation activation)
{
    if (activation == ACTIVATION_SWIGLU_CLAMPED) return (double)-SWIGLU_ALPHA * x;
    return activation == ACTIVATION_SILU
               ? -x
               : -2 * sqrt(2 / acos(-1.0)) * (x + 0.044715 * x * x * x);
}

static const char *const activation_names[] = { "silu", "gelu", "clamped swiglu" };

static void check_gate(const struct cpu_kernels *k, struct rng *r)
{
    static const float extremes[] = { 0, -0.0f, 1e-30f, -1e-30f, 60, -60, 87, -87, 89, -89, 200,
                                      -200, 1e4f, -1e4f, 1e20f, -1e20f, 1e30f };
    static float x[MAX_N], up[MAX_N], buffer[MAX_N + 2 * GUARD + 1];

    for (size_t l = 0; l < COUNT(lengths); l++)
        for (int a = ACTIVATION_SILU; a <= ACTIVATION_SWIGLU_CLAMPED; a++) {
            const uint32_t n = lengths[l];
            for (uint32_t i = 0; i < n; i++) {
                x[i] = i < COUNT(extremes) ? extremes[i] : 4 * random_normal(r);
                up[i] = 4 * random_normal(r);
            }
            float *out = guarded(buffer, x, n);
            k->gate(out, up, n, (enum activation)a, out);
            check_guards(buffer, n, k->isa, "gate");
            for (uint32_t i = 0; i < n; i++) {
                const bool is_clamped = a == ACTIVATION_SWIGLU_CLAMPED;
                const double limit = (double)SWIGLU_LIMIT;
                const double g = is_clamped ? fmin(x[i], limit) : x[i];
                const double times = is_clamped ? fmax(-limit, fmin(up[i], limit)) + 1 : up[i];
                const double e = exponent_of(g, (enum activation)a);
                const double want = g / (1 + exp(e)) * times;
                /* beyond e^88 a float has no exponential: the result may be 0 */
                const double least = fabs(g * times) * 1e-37 + is_clamped * fabs(g) * 1e-7;
                check_near(out[i], want, fabs(want) * 1e-6 * (1 + fmin(fabs(e), 100)) + least,
                           k->isa, activation_names[a], n, i);
            }
        }
}

static void activations_are_near_exact(void **state)
{
    (void)state;
    for_each_isa(check_gate);
}

/* Infinities and NaN stay in their own places. */
static void check_gate_bounds(const struct cpu_kernels *k, struct rng *r)
{
    float x[32], up[32], want[32], out[32];

    for (int a = ACTIVATION_SILU; a <= ACTIVATION_GELU_TANH; a++) {
        for (int i = 0; i < 32; i++) {
            x[i] = random_normal(r);
            up[i] = random_normal(r);
        }
        k->gate(x, up, 32, (enum activation)a, want);
        x[3] = NAN;
        x[9] = INFINITY;
        x[30] = -INFINITY;
        k->gate(x, up, 32, (enum activation)a, out);
        for (int i = 0; i < 32; i++)
            if (i != 3 && i != 9 && i != 30) assert_memory_equal(&out[i], &want[i], sizeof *out);
        assert_true(isnan(out[3]));
        assert_true(isinf(out[9]));
    }
}

static void one_bad_value_does_not_spread(void **state)
{
    (void)state;
    for_each_isa(check_gate_bounds);
}

/* ---- addition ------------------------------------------------------------------------------- */

static void check_add(const struct cpu_kernels *k, struct rng *r)
{
    static float x[MAX_N], y[MAX_N], buffer[MAX_N + 2 * GUARD + 1];

    for (size_t l = 0; l < COUNT(lengths); l++) {
        for (uint32_t i = 0; i < lengths[l]; i++) {
            x[i] = random_normal(r);
            y[i] = random_normal(r);
        }
        float *out = guarded(buffer, x, lengths[l]);
        k->add(out, y, lengths[l]);
        check_guards(buffer, lengths[l], k->isa, "add");
        for (uint32_t i = 0; i < lengths[l]; i++)
            if (out[i] != x[i] + y[i]) fail_msg("isa=%s add n=%u value %u", k->isa, lengths[l], i);
    }
}

static void sums_are_exact(void **state)
{
    (void)state;
    for_each_isa(check_add);
}

/* ---- cap ------------------------------------------------------------------------------------ */

/* Scores and logits: from far within the cap to far beyond it, infinities among them. */
static void check_cap_of(const struct cpu_kernels *k, struct rng *r, float size, float cap)
{
    const float scale = 0.3f;
    float x[64], buffer[64 + 2 * GUARD + 1];
    for (int i = 0; i < 64; i++) x[i] = random_normal(r) * size;
    x[5] = INFINITY, x[6] = -INFINITY;
    float *out = guarded(buffer, x, 64);
    k->cap(out, 64, scale, cap);
    check_guards(buffer, 64, k->isa, "cap");
    for (uint32_t i = 0; i < 64; i++) {
        const double y = (double)(scale * x[i]), c = (double)cap;
        const double want = cap == 0 ? y : c * tanh(y / c);
        if (isinf(want)) assert_true(out[i] == (float)want);
        else check_near(out[i], want, 4e-7 * (c + fabs(want)), k->isa, "cap", 64, i);
    }
}

static void check_cap(const struct cpu_kernels *k, struct rng *r)
{
    static const float caps[] = { 0, 0.5f, 30, 72.13475f }, sizes[] = { 0.01f, 1, 100, 1e30f };
    for (size_t c = 0; c < COUNT(caps); c++)
        for (size_t i = 0; i < COUNT(sizes); i++) check_cap_of(k, r, sizes[i], caps[c]);
}

static void cap_is_near_exact(void **state)
{
    (void)state;
    for_each_isa(check_cap);
}

/* ---- RoPE ----------------------------------------------------------------------------------- */

static void check_rope_of(const struct cpu_kernels *k, struct rng *r, uint32_t d, bool interleaved)
{
    static float buffer[MAX_D_HEAD + 2 * GUARD + 1];
    const float scale = interleaved ? 1 : 0.18f;
    float x[MAX_D_HEAD], cos_sin[MAX_D_HEAD];

    for (uint32_t i = 0; i < d; i++) x[i] = random_normal(r);
    for (uint32_t i = 0; i < d / 2; i++) {
        const double angle = 7 * rng_unit(r);
        cos_sin[2 * i] = (float)cos(angle);
        cos_sin[2 * i + 1] = (float)sin(angle);
    }
    float *out = guarded(buffer, x, d);
    k->rope(out, cos_sin, d, interleaved, scale);
    check_guards(buffer, d, k->isa, "rope");
    for (uint32_t i = 0; i < d / 2; i++) {
        const uint32_t at_a = interleaved ? 2 * i : i, at_b = interleaved ? 2 * i + 1 : i + d / 2;
        const double a = x[at_a], b = x[at_b], c = cos_sin[2 * i], s = cos_sin[2 * i + 1];
        const double tolerance = 3e-7 * (fabs(a) + fabs(b)) * scale;
        check_near(out[at_a], (a * c - b * s) * scale, tolerance, k->isa, "rope", d, at_a);
        check_near(out[at_b], (a * s + b * c) * scale, tolerance, k->isa, "rope", d, at_b);
    }
}

static void check_rope(const struct cpu_kernels *k, struct rng *r)
{
    for (size_t i = 0; i < COUNT(head_sizes); i++) {
        check_rope_of(k, r, head_sizes[i], false);
        check_rope_of(k, r, head_sizes[i], true);
    }
}

static void rope_is_near_exact(void **state)
{
    (void)state;
    for_each_isa(check_rope);
}

/* ---- KV pages ------------------------------------------------------------------------------- */

static void check_dot(const struct cpu_kernels *k, struct rng *r)
{
    static float a[2048], b[2048];
    for (uint32_t n = 16; n <= COUNT(a); n += n < 256 ? 16 : 224) {
        double want = 0, size = 0;
        for (uint32_t i = 0; i < n; i++) {
            a[i] = random_normal(r);
            b[i] = random_normal(r);
            want += (double)a[i] * b[i];
            size += fabs((double)a[i] * b[i]);
        }
        const double got = (double)k->dot(a, b, n);
        if (!(fabs(got - want) <= 3e-7 * size))
            fail_msg("isa=%s dot of %u: %.9g, exact %.9g", k->isa, n, got, want);
    }
}

static void dots_are_near_exact(void **state)
{
    (void)state;
    for_each_isa(check_dot);
}

/* Values of all kinds: ties between neighbouring halves, denormals, beyond the range, NaN. */
static float any_value(struct rng *r)
{
    static const float odd[] = { 0, -0.0f, NAN, -NAN, INFINITY, -INFINITY, 65504, 65519.996f, 65520,
                                 -65520, 1e30f, -1e30f, 0x1p-24f, 0x1p-25f, -0x1.8p-24f, 1e-40f,
                                 2049, 2051, -2049, 0x1.ffcp-15f, 0x1.002p0f, 0x1.006p0f };

    return rng_below(r, 2) ? odd[rng_below(r, COUNT(odd))] : random_normal(r);
}

static void check_kv_write_at(const struct cpu_kernels *k, struct rng *r,
                              const struct kv_setup *setup, uint32_t d, uint32_t at)
{
    static uint8_t page[4 * MAX_D_HEAD * PAGE_TOKENS] __attribute__((aligned(64)));
    static uint8_t want[4 * MAX_D_HEAD * PAGE_TOKENS];
    const struct kv_layout layout = kv_layout_of(d, setup->k, setup->v);
    float key[MAX_D_HEAD], value[MAX_D_HEAD], values[MAX_D_HEAD];

    for (uint32_t i = 0; i < sizeof page; i++) page[i] = want[i] = (uint8_t)rng_u64(r);
    for (uint32_t i = 0; i < d; i++) {
        key[i] = any_value(r);
        value[i] = rng_below(r, 4) ? random_normal(r) : any_value(r);
    }
    if (rng_below(r, 8) == 0) memset(key, 0, sizeof key);
    kv_reference_write(setup->k, d, false, want, at, key, values);
    kv_reference_write(setup->v, d, true, want + layout.v_at, at, value, values);
    k->kv_write(page, &layout, at, key, value);
    for (uint32_t i = 0; i < sizeof page; i++)
        if (page[i] != want[i])
            fail_msg("isa=%s K %s V %s d_head=%u token %u: byte %u of %u (V at %u) holds %02x, "
                     "wanted %02x", k->isa, kv_type_name(setup->k), kv_type_name(setup->v), d, at,
                     i, layout.n_bytes, layout.v_at, page[i], want[i]);
}

static void check_kv_write(const struct cpu_kernels *k, struct rng *r)
{
    for (size_t s = 0; s < COUNT(kv_setups); s++)
        for (size_t i = 0; i < COUNT(head_sizes); i++)
            for (uint32_t at = 0; at < PAGE_TOKENS; at++)
                check_kv_write_at(k, r, &kv_setups[s], head_sizes[i], at);
}

static void pages_hold_bounded_numbers_and_only_their_token(void **state)
{
    (void)state;
    for_each_isa(check_kv_write);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_are_near_exact),
        cmocka_unit_test(activations_are_near_exact),
        cmocka_unit_test(one_bad_value_does_not_spread),
        cmocka_unit_test(sums_are_exact),
        cmocka_unit_test(dots_are_near_exact),
        cmocka_unit_test(cap_is_near_exact),
        cmocka_unit_test(rope_is_near_exact),
        cmocka_unit_test(pages_hold_bounded_numbers_and_only_their_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
