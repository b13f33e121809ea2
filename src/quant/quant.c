/* What each tensor type means: one function a type. Plain on purpose; kernels are checked against
 * it. The products of scales are rounded in the order that GGUF's own reference uses. */
#include "quant/quant.h"

#include <string.h>

#include "quant/blocks.h"

static void dequantise_f32(const void *from, float *out, size_t n)
{
    memcpy(out, from, n * sizeof *out);
}

static uint16_t load_u16(const void *from, size_t i)
{
    uint16_t h;
    memcpy(&h, (const uint8_t *)from + i * sizeof h, sizeof h);
    return h;
}

static void dequantise_f16(const void *from, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++) out[i] = f32_of_f16(load_u16(from, i));
}

static void dequantise_bf16(const void *from, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++) out[i] = f32_of_bf16(load_u16(from, i));
}

static void dequantise_q4_0(const void *from, float *out, size_t n)
{
    const struct q4_0 *b = from;
    for (size_t i = 0; i < n; i++) {
        const struct q4_0 *at = &b[i / 32];
        out[i] = f32_of_f16(at->d) * (float)(nibble_quantum(at->qs, i % 32) - 8);
    }
}

static void dequantise_q4_1(const void *from, float *out, size_t n)
{
    const struct q4_1 *b = from;
    for (size_t i = 0; i < n; i++) {
        const struct q4_1 *at = &b[i / 32];
        out[i] = f32_of_f16(at->d) * (float)nibble_quantum(at->qs, i % 32) + f32_of_f16(at->m);
    }
}

static void dequantise_q5_0(const void *from, float *out, size_t n)
{
    const struct q5_0 *b = from;
    for (size_t i = 0; i < n; i++) {
        const struct q5_0 *at = &b[i / 32];
        const int q = nibble_quantum(at->qs, i % 32) | fifth_bit(at->qh, i % 32) << 4;
        out[i] = f32_of_f16(at->d) * (float)(q - 16);
    }
}

static void dequantise_q5_1(const void *from, float *out, size_t n)
{
    const struct q5_1 *b = from;
    for (size_t i = 0; i < n; i++) {
        const struct q5_1 *at = &b[i / 32];
        const int q = nibble_quantum(at->qs, i % 32) | fifth_bit(at->qh, i % 32) << 4;
        out[i] = f32_of_f16(at->d) * (float)q + f32_of_f16(at->m);
    }
}

static void dequantise_q8_0(const void *from, float *out, size_t n)
{
    const struct q8_0 *b = from;
    for (size_t i = 0; i < n; i++) out[i] = f32_of_f16(b[i / 32].d) * (float)b[i / 32].qs[i % 32];
}

static void dequantise_iq4_nl(const void *from, float *out, size_t n)
{
    const struct iq4_nl *b = from;
    for (size_t i = 0; i < n; i++) {
        const struct iq4_nl *at = &b[i / 32];
        out[i] = f32_of_f16(at->d) * (float)iq4_codebook[nibble_quantum(at->qs, i % 32)];
    }
}

/* 2^(e - 128), whose two smallest are no normal floats. */
static float mxfp4_scale(uint8_t e)
{
    const uint32_t bits = e > 1 ? (uint32_t)mxfp4_exponent(e) << 23 : e ? 1u << 22 : 1u << 21;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return scale;
}

static void dequantise_mxfp4(const void *from, float *out, size_t n)
{
    const struct mxfp4 *b = from;
    for (size_t i = 0; i < n; i++) {
        const struct mxfp4 *at = &b[i / 32];
        out[i] = mxfp4_scale(at->e) * (float)mxfp4_codebook[nibble_quantum(at->qs, i % 32)];
    }
}

static void dequantise_q2_k(const void *from, float *out, size_t n)
{
    const struct q2_k *b = from;
    for (size_t i = 0; i < n; i++) {
        const struct q2_k *at = &b[i / 256];
        const int k = i % 256, packed = at->scales[k / 16];
        const float scale = f32_of_f16(at->d) * (float)(packed & 15);
        out[i] = scale * (float)q2_k_quantum(at, k) - f32_of_f16(at->dmin) * (float)(packed >> 4);
    }
}

static void dequantise_q3_k(const void *from, float *out, size_t n)
{
    const struct q3_k *b = from;
    for (size_t i = 0; i < n; i++) {
        const struct q3_k *at = &b[i / 256];
        const int k = i % 256;
        const float scale = f32_of_f16(at->d) * (float)q3_k_scale(at, k / 16);
        out[i] = scale * (float)(q3_k_quantum(at, k) - 4);
    }
}

/* d sc q - dmin m, shared by Q4_K and Q5_K */
static float kquant_weight(uint16_t d, uint16_t dmin, const uint8_t scales[12], int k, int quantum)
{
    uint8_t scale, min;
    kquant_scale_min(scales, k / 32, &scale, &min);
    return f32_of_f16(d) * (float)scale * (float)quantum - f32_of_f16(dmin) * (float)min;
}

static void dequantise_q4_k(const void *from, float *out, size_t n)
{
    const struct q4_k *b = from;
    for (size_t i = 0; i < n; i++) {
        const struct q4_k *at = &b[i / 256];
        const int k = i % 256;
        out[i] = kquant_weight(at->d, at->dmin, at->scales, k, q4_k_quantum(at, k));
    }
}

static void dequantise_q5_k(const void *from, float *out, size_t n)
{
    const struct q5_k *b = from;
    for (size_t i = 0; i < n; i++) {
        const struct q5_k *at = &b[i / 256];
        const int k = i % 256;
        out[i] = kquant_weight(at->d, at->dmin, at->scales, k, q5_k_quantum(at, k));
    }
}

static void dequantise_q6_k(const void *from, float *out, size_t n)
{
    const struct q6_k *b = from;
    for (size_t i = 0; i < n; i++) {
        const struct q6_k *at = &b[i / 256];
        const int k = i % 256;
        const float scale = f32_of_f16(at->d) * (float)at->scales[k / 16];
        out[i] = scale * (float)(q6_k_quantum(at, k) - 32);
    }
}

static void dequantise_iq4_xs(const void *from, float *out, size_t n)
{
    const struct iq4_xs *b = from;
    for (size_t i = 0; i < n; i++) {
        const struct iq4_xs *at = &b[i / 256];
        const int k = i % 256;
        const float scale = f32_of_f16(at->d) * (float)iq4_xs_scale(at, k / 32);
        out[i] = scale * (float)iq4_codebook[iq4_xs_quantum(at, k)];
    }
}

typedef void dequantise_fn(const void *from, float *out, size_t n);

static const struct type {
    struct quant_traits traits;
    dequantise_fn *dequantise;
} types[] = {
    [QUANT_F32] = { { "F32", 1, 4 }, dequantise_f32 },
    [QUANT_F16] = { { "F16", 1, 2 }, dequantise_f16 },
    [QUANT_Q4_0] = { { "Q4_0", 32, 18 }, dequantise_q4_0 },
    [QUANT_Q4_1] = { { "Q4_1", 32, 20 }, dequantise_q4_1 },
    [QUANT_Q5_0] = { { "Q5_0", 32, 22 }, dequantise_q5_0 },
    [QUANT_Q5_1] = { { "Q5_1", 32, 24 }, dequantise_q5_1 },
    [QUANT_Q8_0] = { { "Q8_0", 32, 34 }, dequantise_q8_0 },
    [QUANT_Q2_K] = { { "Q2_K", 256, 84 }, dequantise_q2_k },
    [QUANT_Q3_K] = { { "Q3_K", 256, 110 }, dequantise_q3_k },
    [QUANT_Q4_K] = { { "Q4_K", 256, 144 }, dequantise_q4_k },
    [QUANT_Q5_K] = { { "Q5_K", 256, 176 }, dequantise_q5_k },
    [QUANT_Q6_K] = { { "Q6_K", 256, 210 }, dequantise_q6_k },
    [QUANT_IQ4_NL] = { { "IQ4_NL", 32, 18 }, dequantise_iq4_nl },
    [QUANT_IQ4_XS] = { { "IQ4_XS", 256, 136 }, dequantise_iq4_xs },
    [QUANT_BF16] = { { "BF16", 1, 2 }, dequantise_bf16 },
    [QUANT_MXFP4] = { { "MXFP4", 32, 17 }, dequantise_mxfp4 },
};

enum { N_TYPES = sizeof types / sizeof *types };

_Static_assert(sizeof(struct q4_0) == 18 && sizeof(struct q4_1) == 20 &&
                   sizeof(struct q5_0) == 22 && sizeof(struct q5_1) == 24 &&
                   sizeof(struct q8_0) == 34 && sizeof(struct iq4_nl) == 18 &&
                   sizeof(struct mxfp4) == 17,
               "blocks of 32 have the file's size");
_Static_assert(sizeof(struct q2_k) == 84 && sizeof(struct q3_k) == 110 &&
                   sizeof(struct q4_k) == 144 && sizeof(struct q5_k) == 176 &&
                   sizeof(struct q6_k) == 210 && sizeof(struct iq4_xs) == 136,
               "blocks of 256 have the file's size");

const struct quant_traits *quant_traits(uint32_t type)
{
    static const struct quant_traits unknown = { NULL, 1, 0 };
    return type < N_TYPES && types[type].dequantise ? &types[type].traits : &unknown;
}

size_t quant_row_bytes(uint32_t type, size_t n)
{
    const struct quant_traits *t = quant_traits(type);
    return n / t->block_weights * t->block_bytes;
}

void quant_dequantise(uint32_t type, const void *blocks, float *out, size_t n)
{
    types[type].dequantise(blocks, out, n);
}
