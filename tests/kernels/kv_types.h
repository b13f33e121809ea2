/* KV types written down once more, the slow way: what codes a token's values become, and what value
 * each code stands for. Of no backend. */
#ifndef TESTS_KERNELS_KV_TYPES_H
#define TESTS_KERNELS_KV_TYPES_H

#include "file_types.h"

#include "quant/kv_type.h"

/* K and V types of a pool, and whether keys have a bias that pages lack. */
struct kv_setup {
    enum kv_type k, v;
    enum { NO_BIAS, BIAS_OF_HALVES, BIAS_OF_NEIGHBOURS } bias;
};

static const struct kv_setup kv_setups[] = {
    { KV_F16, KV_F16, NO_BIAS },
    { KV_BF16, KV_BF16, NO_BIAS },
    { KV_Q8_0, KV_Q8_0, NO_BIAS },
    { KV_F8_E4M3, KV_F8_E4M3, NO_BIAS },
    { KV_F16, KV_Q8_0, NO_BIAS },
    { KV_Q8_0, KV_F16, BIAS_OF_HALVES },
    { KV_F8_E4M3, KV_BF16, BIAS_OF_HALVES },
    { KV_BF16, KV_F8_E4M3, BIAS_OF_NEIGHBOURS },
};

/* NaN becomes 0, magnitudes are bounded by the largest f16. */
static inline float kv_bounded(float x)
{
    if (isnan(x)) return 0;
    return x > 65504 ? 65504 : x < -65504 ? -65504 : x;
}

static inline double kv_f8_value(int code)
{
    const int exponent = code >> 3 & 15, mantissa = code & 7;
    const double size = exponent ? ldexp(8 + mantissa, exponent - 10) : ldexp(mantissa, -9);
    return code & 0x80 ? -size : size;
}

/* The nearest code, of two the even one; 0x7f is not a number. */
static inline int kv_f8_code(float x)
{
    int best = 0;
    for (int code = 1; code < 0x7f; code++) {
        const double was = fabs(kv_f8_value(best) - fabsf(x));
        const double is = fabs(kv_f8_value(code) - fabsf(x));
        if (is < was || (is == was && code % 2 == 0)) best = code;
    }
    return signbit(x) ? best | 0x80 : best;
}

static inline uint16_t kv_bf16(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    const uint32_t rest = u & 0xffff, kept = u >> 16;
    return (uint16_t)(kept + (rest > 0x8000 || (rest == 0x8000 && kept % 2)));
}

/* How many values share a scale, the first of them being a multiple of that. */
static inline uint32_t kv_scaled_together(enum kv_type type, uint32_t d_head)
{
    return type == KV_Q8_0 ? 32 : d_head;
}

/* codes[i]: what is stored for x[i]; values[i]: what it stands for; returns the scale. n values
 * with one scale. */
static inline float kv_quantise(enum kv_type type, const float *x, uint32_t n, uint16_t *codes,
                                float *values)
{
    float most = 0, scale = 1;
    for (uint32_t i = 0; i < n; i++) most = fmaxf(most, fabsf(kv_bounded(x[i])));
    if (type == KV_Q8_0) scale = f32_of_f16(f16_of_f32(most / 127));
    if (type == KV_F8_E4M3) scale = most / 448;
    const float inverse = scale > 0 ? 1 / scale : 0;
    for (uint32_t i = 0; i < n; i++) {
        const float bounded = kv_bounded(x[i]);
        if (type == KV_F16) {
            codes[i] = f16_of_f32(bounded);
            values[i] = f32_of_f16(codes[i]);
        } else if (type == KV_BF16) {
            codes[i] = kv_bf16(bounded);
            values[i] = f32_of_bf16(codes[i]);
        } else if (type == KV_Q8_0) {
            const float q = rintf(bounded * inverse);
            const int code = q > 127 ? 127 : q < -127 ? -127 : (int)q;
            codes[i] = (uint8_t)code;
            values[i] = (float)code * scale;
        } else {
            codes[i] = (uint16_t)kv_f8_code(bounded * inverse);
            values[i] = (float)kv_f8_value(codes[i]) * scale;
        }
    }
    return scale;
}

static inline void kv_put(uint8_t *part, enum kv_type type, size_t place, uint16_t code)
{
    if (type == KV_F16 || type == KV_BF16) put_half(part + place * 2, code);
    else part[place] = (uint8_t)code;
}

#endif
