/* What mixers do, for the including file's registers: plain vectors, products and sums rounded
 * apart, so that every instruction set computes the same bytes. */
#ifndef BACKEND_CPU_KERNELS_MIXER_LOOPS_H
#define BACKEND_CPU_KERNELS_MIXER_LOOPS_H

#include <stdint.h>

#include "backend/cpu/kernels.h"

/* Anywhere in an array of floats. */
typedef float mixer_vector __attribute__((vector_size(64), aligned(4), may_alias));
enum { MIXER_LANES = 16, MIXER_VECTORS = STATE_BLOCK / MIXER_LANES };
#define VECTOR_AT(p) (*(mixer_vector *)(p))
#define CONST_VECTOR_AT(p) (*(const mixer_vector *)(p))

static void convolve(const float *const *in, const float *taps, const float *bias, uint32_t n_taps,
                     uint32_t n, float *out)
{
    for (uint32_t i = 0; i < n; i += MIXER_LANES) {
        mixer_vector sum = { 0 };
        if (bias) sum = CONST_VECTOR_AT(bias + i);
        for (uint32_t t = 0; t < n_taps; t++)
            if (in[t])
                sum += CONST_VECTOR_AT(in[t] + i) * CONST_VECTOR_AT(taps + (size_t)t * n + i);
        VECTOR_AT(out + i) = sum;
    }
}

static void state_step(float *block, const struct state_column *c, const float *value, float *out)
{
    mixer_vector known[MIXER_VECTORS] = { { 0 } }, sum[MIXER_VECTORS] = { { 0 } };
    mixer_vector change[MIXER_VECTORS];
    const float *row = block;
    for (uint32_t i = 0; i < c->n_key && c->corrects; i++, row += STATE_BLOCK)
        for (int v = 0; v < MIXER_VECTORS; v++)
            known[v] += c->key[i] * CONST_VECTOR_AT(row + v * MIXER_LANES);
    for (int v = 0; v < MIXER_VECTORS; v++)
        change[v] = c->rate * (CONST_VECTOR_AT(value + v * MIXER_LANES) - c->shrink * known[v]);
    for (uint32_t i = 0; i < c->n_key; i++, block += STATE_BLOCK)
        for (int v = 0; v < MIXER_VECTORS; v++) {
            mixer_vector *at = &VECTOR_AT(block + v * MIXER_LANES);
            *at = c->shrink * *at + c->key[i] * change[v];
            sum[v] += c->query[i] * *at;
        }
    for (int v = 0; v < MIXER_VECTORS; v++) VECTOR_AT(out + v * MIXER_LANES) = sum[v];
}

static void multiply(float *x, const float *y, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += MIXER_LANES) VECTOR_AT(x + i) *= CONST_VECTOR_AT(y + i);
}

#endif
