/* Norms, activations, RoPE and KV writing for registers of LANES floats. The including file has
 * included lanes_avx2.h or lanes_neon.h; lengths are multiples of 16 (kernels.h), so there are no
 * rests. */
#include <math.h>

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/kv_codes.h"
#include "backend/cpu/kernels/lanes_math.h"
#include "backend/cpu/kernels/mixer_loops.h"
#include "backend/cpu/kernels/plain_loops.h"

/* 16 partial sums and a tree: the order of vector_scalar.c. */
static float sum_of_squares(const float *x, uint32_t n)
{
    vf part[16 / LANES];
    UNROLL for (int g = 0; g < 16 / LANES; g++) part[g] = set1_f(0);
    for (uint32_t i = 0; i < n; i += 16)
        UNROLL for (int g = 0; g < 16 / LANES; g++) {
            const vf v = load_f(x + i + g * LANES);
            part[g] = fma_f(v, v, part[g]);
        }
    for (int half = 8 / LANES; half > 0; half /= 2)
        for (int g = 0; g < half; g++) part[g] = add_f(part[g], part[g + half]);
    return sum_lanes(part[0]);
}

static void rms_norm(const float *x, const float *weight, uint32_t n, float eps, float *out)
{
    const vf scale = set1_f(1.0f / sqrtf(sum_of_squares(x, n) / (float)n + eps));
    for (uint32_t i = 0; i < n; i += LANES)
        store_f(out + i, mul_f(mul_f(load_f(x + i), scale), load_f(weight + i)));
}

static float dot(const float *a, const float *b, uint32_t n)
{
    enum { N = 64 / LANES };
    vf part[N];
    UNROLL for (int g = 0; g < N; g++) part[g] = set1_f(0);
    uint32_t i = 0;
    for (; i + 64 <= n; i += 64)
        UNROLL for (int g = 0; g < N; g++)
            part[g] = fma_f(load_f(a + i + g * LANES), load_f(b + i + g * LANES), part[g]);
    for (int g = 0; i < n; i += LANES, g++)
        part[g] = fma_f(load_f(a + i), load_f(b + i), part[g]);
    for (int half = N / 2; half > 0; half /= 2)
        for (int g = 0; g < half; g++) part[g] = add_f(part[g], part[g + half]);
    return sum_lanes(part[0]);
}

/* x / (1 + e^-x) */
INLINE vf silu(vf x)
{
    return div_f(x, add_f(set1_f(1.0f), exp_f(sub_f(set1_f(0), x))));
}

/* x / (1 + e^-2u), u = sqrt(2 / pi) (x + 0.044715 x^3) */
INLINE vf gelu(vf x)
{
    const vf cube = mul_f(mul_f(x, x), x);
    const vf minus_2u = mul_f(fma_f(cube, set1_f(0.044715f), x), set1_f(0.7978845608f * -2));
    return div_f(x, add_f(set1_f(1.0f), exp_f(minus_2u)));
}

INLINE vf swiglu_clamped(vf g, vf up)
{
    const vf limit = set1_f(SWIGLU_LIMIT), x = min_f(g, limit);
    const vf y = max_f(set1_f(-SWIGLU_LIMIT), min_f(up, limit));
    const vf below = add_f(set1_f(1.0f), exp_f(mul_f(x, set1_f(-SWIGLU_ALPHA))));
    return mul_f(div_f(x, below), add_f(y, set1_f(1.0f)));
}

INLINE vf activated(vf x, vf up, enum activation activation)
{
    switch (activation) {
    case ACTIVATION_SILU: return mul_f(silu(x), up);
    case ACTIVATION_GELU_TANH: return mul_f(gelu(x), up);
    case ACTIVATION_RELU: return mul_f(max_f(x, set1_f(0)), up);
    default: return swiglu_clamped(x, up);
    }
}

static void gate(const float *g, const float *up, uint32_t n, enum activation activation,
                 float *out)
{
    for (uint32_t i = 0; i < n; i += LANES) {
        const vf x = load_f(g + i), y = load_f(up + i);
        store_f(out + i, activated(x, y, activation));
    }
}

static void times_sigmoid(float *x, const float *gate_of, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += LANES) {
        const vf e = exp_f(sub_f(set1_f(0), load_f(gate_of + i)));
        store_f(x + i, div_f(load_f(x + i), add_f(set1_f(1.0f), e)));
    }
}

static void add_to(float *x, const float *y, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += LANES) store_f(x + i, add_f(load_f(x + i), load_f(y + i)));
}

static void cap(float *x, uint32_t n, float scale, float cap)
{
    for (uint32_t i = 0; i < n; i += LANES) {
        const vf y = mul_f(load_f(x + i), set1_f(scale));
        store_f(x + i, cap == 0 ? y : capped_f(y, cap));
    }
}

static void rope(float *x, const float *cos_sin, uint32_t d, bool interleaved, float scale)
{
    const vf by = set1_f(scale);
    for (uint32_t i = 0; i < d / 2; i += LANES) {
        vf c, s, a, b;
        load_pairs(cos_sin + 2 * i, &c, &s);
        if (interleaved) {
            load_pairs(x + 2 * i, &a, &b);
        } else {
            a = load_f(x + i);
            b = load_f(x + d / 2 + i);
        }
        const vf first = mul_f(fnma_f(b, s, mul_f(a, c)), by);
        const vf second = mul_f(fma_f(a, s, mul_f(b, c)), by);
        if (interleaved) {
            store_pairs(x + 2 * i, first, second);
        } else {
            store_f(x + i, first);
            store_f(x + d / 2 + i, second);
        }
    }
}

/* NaN becomes 0, magnitudes are bounded by the largest f16. */
INLINE void store_f16_finite(uint16_t *to, const float *from)
{
    const vf v = number_or_0(load_f(from));
    store_f16(to, min_f(set1_f(65504.0f), max_f(set1_f(-65504.0f), v)));
}

static void write_k_f16(uint16_t *page, uint32_t d_head, uint32_t at, const float *k)
{
    uint16_t column[MAX_D_HEAD];
    for (uint32_t i = 0; i < d_head; i += LANES) store_f16_finite(column + i, k + i);
    for (uint32_t i = 0; i < d_head; i++) page[i * PAGE_TOKENS + at] = column[i];
}

static void write_v_f16(uint16_t *page, uint32_t d_head, uint32_t at, const float *v)
{
    const uint32_t part = v_part(d_head);
    for (uint32_t i = 0; i < d_head; i += LANES)
        store_f16_finite(page + (i / part * PAGE_TOKENS + at) * part + i % part, v + i);
}

static void kv_write(uint8_t *kv, const struct kv_layout *l, uint32_t at, const float *k,
                     const float *v)
{
    if (l->k == KV_F16) write_k_f16((uint16_t *)kv, l->d_head, at, k);
    else write_k_codes(l, kv, at, k);
    if (l->is_latent) return;
    if (l->v == KV_F16) write_v_f16((uint16_t *)(kv + l->v_at), l->d_head, at, v);
    else write_v_codes(l, kv + l->v_at, at, v);
}

static void set_vector(struct cpu_kernels *k)
{
    k->rms_norm = rms_norm;
    k->gate = gate;
    k->times_sigmoid = times_sigmoid;
    k->convolve = convolve;
    k->state_step = state_step;
    k->multiply = multiply;
    k->dot = dot;
    k->largest = largest;
    k->take_off = take_off;
    k->add = add_to;
    k->cap = cap;
    k->rope = rope;
    k->kv_write = kv_write;
}
