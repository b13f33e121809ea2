/* Norms, activations, RoPE and KV writing in plain C: the specification. */
#include <math.h>

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/kv_codes.h"
#include "backend/cpu/kernels/mixer_loops.h"
#include "backend/cpu/kernels/plain_loops.h"
#include "quant/quant.h"

/* 16 partial sums, as a 512-bit register would hold them, added up in a tree. */
static float sum_of_squares(const float *x, uint32_t n)
{
    float part[16] = { 0 };
    for (uint32_t i = 0; i < n; i++) part[i % 16] = fmaf(x[i], x[i], part[i % 16]);
    for (int width = 8; width > 0; width /= 2)
        for (int i = 0; i < width; i++) part[i] += part[i + width];
    return part[0];
}

static void rms_norm(const float *x, const float *weight, uint32_t n, float eps, float *out)
{
    const float scale = 1.0f / sqrtf(sum_of_squares(x, n) / (float)n + eps);
    for (uint32_t i = 0; i < n; i++) out[i] = x[i] * scale * weight[i];
}

static float dot(const float *a, const float *b, uint32_t n)
{
    float part[64] = { 0 };
    for (uint32_t i = 0; i < n; i++) part[i % 64] = fmaf(a[i], b[i], part[i % 64]);
    for (int width = 32; width > 0; width /= 2)
        for (int i = 0; i < width; i++) part[i] += part[i + width];
    return part[0];
}

static float silu(float x)
{
    return x / (1.0f + expf(-x));
}

/* The tanh form of GELU. (1 + tanh u) / 2 = 1 / (1 + e^-2u) loses no digits at either end. */
static float gelu(float x)
{
    const float u = 0.7978845608f * (x + 0.044715f * x * x * x);
    return x / (1.0f + expf(-2.0f * u));
}

static float swiglu_clamped(float g, float up)
{
    const float x = fminf(g, SWIGLU_LIMIT);
    const float y = fmaxf(-SWIGLU_LIMIT, fminf(up, SWIGLU_LIMIT));
    return x / (1.0f + expf(-SWIGLU_ALPHA * x)) * (y + 1.0f);
}

static void gate(const float *g, const float *up, uint32_t n, enum activation activation,
                 float *out)
{
    if (activation == ACTIVATION_SILU)
        for (uint32_t i = 0; i < n; i++) out[i] = silu(g[i]) * up[i];
    else if (activation == ACTIVATION_RELU)
        for (uint32_t i = 0; i < n; i++) out[i] = fmaxf(g[i], 0) * up[i];
    else if (activation == ACTIVATION_GELU_TANH)
        for (uint32_t i = 0; i < n; i++) out[i] = gelu(g[i]) * up[i];
    else
        for (uint32_t i = 0; i < n; i++) out[i] = swiglu_clamped(g[i], up[i]);
}

static void times_sigmoid(float *x, const float *gate_of, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) x[i] /= 1.0f + expf(-gate_of[i]);
}

static void add(float *x, const float *y, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) x[i] += y[i];
}

static void cap(float *x, uint32_t n, float scale, float cap)
{
    for (uint32_t i = 0; i < n; i++) {
        const float y = scale * x[i];
        x[i] = cap == 0 ? y : cap * tanhf(y / cap);
    }
}

static void rope(float *x, const float *cos_sin, uint32_t d, bool interleaved, float scale)
{
    for (uint32_t i = 0; i < d / 2; i++) {
        float *a = interleaved ? x + 2 * i : x + i;
        float *b = interleaved ? x + 2 * i + 1 : x + d / 2 + i;
        const float c = cos_sin[2 * i], s = cos_sin[2 * i + 1];
        const float turned = *a * c - *b * s;
        *b = (*a * s + *b * c) * scale;
        *a = turned * scale;
    }
}

/* Never infinite nor NaN: whatever comes out of one stream stays harmless in its pages. */
static uint16_t f16_finite(float x)
{
    const uint16_t h = f16_of_f32(x);
    if ((h & 0x7c00) != 0x7c00) return h;
    return h & 0x3ff ? 0 : (uint16_t)((h & 0x8000) | 0x7bff);
}

static void kv_write(uint8_t *kv, const struct kv_layout *l, uint32_t at, const float *k,
                     const float *v)
{
    uint16_t *k_page = (uint16_t *)kv, *v_page = (uint16_t *)(kv + l->v_at);
    const uint32_t part = v_part(l->d_head);

    for (uint32_t i = 0; i < l->d_head && l->k == KV_F16; i++)
        k_page[i * PAGE_TOKENS + at] = f16_finite(k[i]);
    for (uint32_t i = 0; i < l->d_head && l->v == KV_F16 && !l->is_latent; i++)
        v_page[(i / part * PAGE_TOKENS + at) * part + i % part] = f16_finite(v[i]);
    if (l->k != KV_F16) write_k_codes(l, kv, at, k);
    if (l->v != KV_F16 && !l->is_latent) write_v_codes(l, kv + l->v_at, at, v);
}

void cpu_vector_scalar(struct cpu_kernels *k)
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
    k->add = add;
    k->cap = cap;
    k->rope = rope;
    k->kv_write = kv_write;
}
