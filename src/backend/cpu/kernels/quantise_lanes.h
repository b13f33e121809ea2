/* Activation quantising in pieces of 32 values. The including file defines, for its registers:
 *     vu                      unsigned 32-bit lanes
 *     no_bits max_bits(a, b)  zero; the larger of each lane
 *     abs_bits(p)             bits of |p[i]|, LANES of them
 *     top_of(v)               the largest lane
 *     quantise_32(x, inverse, q)  32 times x * inverse, rounded to nearest, ties to even
 *     sum_32(q)               of 32 bytes with sign */
#include "backend/cpu/kernels/quantise.h"

INLINE uint32_t top_bits(const float *x, uint32_t n)
{
    vu top = no_bits();
    for (uint32_t i = 0; i < n; i += LANES) top = max_bits(top, abs_bits(x + i));
    return top_of(top);
}

/* Writes n quanta, returns d. */
INLINE float quantise_block(const float *x, const uint32_t n, int8_t *q)
{
    float clean[256], top;
    uint32_t bits = top_bits(x, n);

    if (bits > quantise_max_bits()) {
        quantise_clean(x, n, clean);
        x = clean;
        bits = top_bits(x, n);
    }
    memcpy(&top, &bits, sizeof top);
    if (top < QUANTISE_MIN) top = 0;
    const float inverse = top > 0 ? 127.0f / top : 0;
    for (uint32_t k = 0; k < n; k += 32) quantise_32(x + k, inverse, q + k);
    return top / 127.0f;
}

INLINE void quantise_x256(const float *x, uint32_t n, struct act_x256 *to, struct act_x256u *to_u,
                          uint32_t ld)
{
    int8_t q[256] __attribute__((aligned(64)));
    for (size_t b = 0; b < n / 256; b++) {
        const float d = quantise_block(x + 256 * b, 256, q);
        if (to) {
            struct act_x256 *block = &to[b * ld];
            memcpy(block->q, q, sizeof q);
            for (int i = 0; i < 8; i++) block->sum32[i] = (int16_t)sum_32(q + 32 * i);
            block->d = d;
        }
        if (to_u) {
            struct act_x256u *block = &to_u[b * ld];
            for (int k = 0; k < 256; k++) block->u[k] = (uint8_t)(q[k] ^ 0x80);
            block->d = d;
        }
    }
}

INLINE void quantise_x32(const float *x, uint32_t n, struct act_x32 *to, uint32_t ld)
{
    for (uint32_t b = 0; b < n / 32; b++, to += ld) {
        to->d = quantise_block(x + 32 * b, 32, to->q);
        const int sum = sum_32(to->q);
        to->start = -128 * sum;
        to->d_sum = to->d * (float)sum;
    }
}
