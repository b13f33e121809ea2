/* Activation quantising in plain C: the specification. */
#include "backend/cpu/kernels/quantise.h"

#include <math.h>

/* Largest magnitude of a block as bits. */
static uint32_t top_bits(const float *x, uint32_t n)
{
    uint32_t top = 0;

    for (uint32_t k = 0; k < n; k++) {
        const uint32_t bits = quantise_abs_bits(x[k]);
        top = bits > top ? bits : top;
    }
    return top;
}

/* Writes n quanta, returns d. */
static float quantise_block(const float *x, uint32_t n, int8_t *q)
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
    for (uint32_t k = 0; k < n; k++) q[k] = (int8_t)lrintf(x[k] * inverse);
    return top / 127.0f;
}

void quantise_x256_scalar(const float *x, uint32_t n, struct act_x256 *to, struct act_x256u *to_u,
                          uint32_t ld)
{
    for (uint32_t b = 0; b < n / 256; b++) {
        int8_t q[256];
        const float d = quantise_block(x + 256 * b, 256, q);
        if (to) {
            struct act_x256 *block = &to[(size_t)b * ld];
            memcpy(block->q, q, sizeof q);
            memset(block->sum32, 0, sizeof block->sum32);
            for (int k = 0; k < 256; k++)
                block->sum32[k / 32] = (int16_t)(block->sum32[k / 32] + q[k]);
            block->d = d;
        }
        if (to_u) {
            struct act_x256u *block = &to_u[(size_t)b * ld];
            for (int k = 0; k < 256; k++) block->u[k] = (uint8_t)(q[k] + 128);
            block->d = d;
        }
    }
}

void quantise_x32_scalar(const float *x, uint32_t n, struct act_x32 *to, uint32_t ld)
{
    for (uint32_t b = 0; b < n / 32; b++, to += ld) {
        int sum = 0;
        to->d = quantise_block(x + 32 * b, 32, to->q);
        for (int k = 0; k < 32; k++) sum += to->q[k];
        to->start = -128 * sum;
        to->d_sum = to->d * (float)sum;
    }
}
