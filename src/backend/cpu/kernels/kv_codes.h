/* Writing tokens in the KV types other than f16, such that the compiler makes vectors of the loops
 * with the flags of the including file. Every instruction set writes the same bytes. */
#ifndef BACKEND_CPU_KERNELS_KV_CODES_H
#define BACKEND_CPU_KERNELS_KV_CODES_H

#include <math.h>
#include <string.h>

#include "backend/cpu/kernels/inlining.h"
#include "backend/cpu/kv_layout.h"
#include "quant/quant.h"

INLINE uint32_t bits_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

INLINE float float_of(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* NaN becomes 0, magnitudes are bounded by the largest f16. */
INLINE float bounded(float x)
{
    const float number = x == x ? x : 0;
    const float low = number < 65504.0f ? number : 65504.0f;
    return low > -65504.0f ? low : -65504.0f;
}

INLINE float largest_of(const float *x, uint32_t n)
{
    float most = 0;
    for (uint32_t i = 0; i < n; i++) {
        const float size = fabsf(bounded(x[i]));
        most = size > most ? size : most;
    }
    return most;
}

INLINE float inverse_or_0(float scale)
{
    return scale > 0 ? 1.0f / scale : 0;
}

/* ---- single values -------------------------------------------------------------------------- */

INLINE uint16_t bf16_of(float x)
{
    const uint32_t u = bits_of(bounded(x));
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);      /* to nearest, ties to even */
}

INLINE int8_t q8_of(float x, float inverse)
{
    const float q = rintf(bounded(x) * inverse);
    const float low = q < 127 ? q : 127;
    return (int8_t)(int32_t)(low > -127 ? low : -127);
}

/* |x| * inverse is at most 448 but for rounding. From 2^-6 on a code is the upper bits of the
 * float, rounded to 3 of the mantissa; below, it counts steps of 2^-9, which the sum with 2^14
 * rounds to. */
INLINE uint8_t f8_of(float x, float inverse)
{
    const float scaled = bounded(x) * inverse, size = fabsf(scaled);
    const float at_most = size < 448.0f ? size : 448.0f;
    const uint32_t u = bits_of(at_most);
    const uint32_t normal = (u + 0x7ffff + (u >> 20 & 1)) >> 20;
    const uint32_t small = bits_of(at_most + 16384.0f) - bits_of(16384.0f);
    const uint32_t code = at_most < 0x1p-6f ? small : normal - (120 << 3);
    return (uint8_t)(code | (bits_of(scaled) >> 24 & 0x80));
}

/* A half that is no less than 0. Below 2^-14 it has no implicit 1, which is taken off again: no
 * float on the way is denormal, which some machines are slow at. */
INLINE float f16_scale(uint16_t half)
{
    const float y = float_of(((uint32_t)half << 13) + (112u << 23));
    return half < 0x400 ? 2 * y - 0x1p-14f : y;
}

/* ---- one token into a page ------------------------------------------------------------------ */

/* n values whose codes lie `step` apart. */
INLINE void write_codes(enum kv_type type, const float *x, uint32_t n, float inverse,
                        uint8_t *codes, size_t step)
{
    for (uint32_t i = 0; i < n && type == KV_BF16; i++) {
        const uint16_t code = bf16_of(x[i]);
        memcpy(codes + i * step * sizeof code, &code, sizeof code);
    }
    uint8_t packed[MAX_D_HEAD];
    if (type == KV_BF16) return;
    for (uint32_t i = 0; i < n && type == KV_Q8_0; i++) packed[i] = (uint8_t)q8_of(x[i], inverse);
    for (uint32_t i = 0; i < n && type == KV_F8_E4M3; i++) packed[i] = f8_of(x[i], inverse);
    for (uint32_t i = 0; i < n; i++) codes[i * step] = packed[i];
}

/* Writes the scale of the n values from dimension d on; returns 1 / scale. */
INLINE float write_scale(enum kv_type type, const float *x, uint32_t d, uint32_t n, uint32_t at,
                         uint8_t *part)
{
    const float most = type == KV_BF16 ? 0 : largest_of(x, n);
    if (type == KV_F8_E4M3) {
        const float scale = most / 448.0f;
        memcpy(part + at * sizeof scale, &scale, sizeof scale);
        return inverse_or_0(scale);
    }
    if (type == KV_Q8_0) {
        const uint16_t scale = f16_of_f32(most / 127.0f);
        memcpy(part + (d / KV_BLOCK * PAGE_TOKENS + at) * sizeof scale, &scale, sizeof scale);
        return inverse_or_0(f16_scale(scale));
    }
    return 1;
}

/* K of one token into place `at` of its page's K part. */
INLINE void write_k_codes(const struct kv_layout *l, uint8_t *part, uint32_t at, const float *k)
{
    const uint32_t n = l->k == KV_Q8_0 ? KV_BLOCK : l->d_head, bytes = kv_code_bytes(l->k);
    uint8_t *codes = part + kv_scale_bytes(l->k, l->d_head);
    for (uint32_t d = 0; d < l->d_head; d += n) {
        const float inverse = write_scale(l->k, k + d, d, n, at, part);
        write_codes(l->k, k + d, n, inverse, codes + ((size_t)d * PAGE_TOKENS + at) * bytes,
                    PAGE_TOKENS);
    }
}

/* V of one token into place `at` of its page's V part. */
INLINE void write_v_codes(const struct kv_layout *l, uint8_t *part, uint32_t at, const float *v)
{
    const uint32_t width = v_part(l->d_head), bytes = kv_code_bytes(l->v);
    uint8_t *codes = part + kv_scale_bytes(l->v, l->d_head);
    float inverse = 1;
    for (uint32_t d = 0; d < l->d_head; d += KV_BLOCK) {
        if (l->v == KV_Q8_0) inverse = write_scale(l->v, v + d, d, KV_BLOCK, at, part);
        else if (d == 0) inverse = write_scale(l->v, v, 0, l->d_head, at, part);
        const size_t place = (size_t)(d / width * PAGE_TOKENS + at) * width + d % width;
        write_codes(l->v, v + d, KV_BLOCK, inverse, codes + place * bytes, 1);
    }
}

#endif
