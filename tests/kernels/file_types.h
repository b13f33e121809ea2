/* Random blocks of every file type, for tests of packed weights and products of any backend. All
 * follow from a seed that failures print. */
#ifndef TESTS_KERNELS_FILE_TYPES_H
#define TESTS_KERNELS_FILE_TYPES_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "quant/quant.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- file types ----------------------------------------------------------------------------- */

struct file_type {
    const char *name;
    uint32_t type, block_weights, block_bytes;
    int half_at[2];             /* where the f16 scales of a block lie; -1: none */
    bool is_exact;              /* its panel holds the very weights */
};

static const struct file_type file_types[] = {
    { "Q4_K", QUANT_Q4_K, 256, 144, { 0, 2 }, true },
    { "Q5_K", QUANT_Q5_K, 256, 176, { 0, 2 }, true },
    { "Q6_K", QUANT_Q6_K, 256, 210, { 208, -1 }, true },
    { "Q3_K", QUANT_Q3_K, 256, 110, { 108, -1 }, true },
    { "Q8_0", QUANT_Q8_0, 32, 34, { 0, -1 }, true },
    { "Q4_0", QUANT_Q4_0, 32, 18, { 0, -1 }, true },
    { "Q4_1", QUANT_Q4_1, 32, 20, { 0, 2 }, true },
    { "Q5_0", QUANT_Q5_0, 32, 22, { 0, -1 }, true },
    { "Q5_1", QUANT_Q5_1, 32, 24, { 0, 2 }, true },
    { "IQ4_NL", QUANT_IQ4_NL, 32, 18, { 0, -1 }, true },
    { "MXFP4", QUANT_MXFP4, 32, 17, { -1, -1 }, true },
    { "IQ4_XS", QUANT_IQ4_XS, 256, 136, { 0, -1 }, false },
    { "Q2_K", QUANT_Q2_K, 256, 84, { 80, 82 }, false },
    { "F32", QUANT_F32, 32, 128, { -1, -1 }, true },
    { "F16", QUANT_F16, 32, 64, { -1, -1 }, true },
    { "BF16", QUANT_BF16, 32, 64, { -1, -1 }, true },
};

/* How the bytes of a block are chosen. FILL_LIMITS: two bytes from a list of extremes, each over a
 * part of the block (Q6_K: quanta and scales), and extreme f16 numbers. */
enum fill { FILL_RANDOM, FILL_LIMITS, N_FILLS };

static inline void put_half(uint8_t *at, uint16_t half)
{
    memcpy(at, &half, sizeof half);
}

static inline uint16_t random_scale(struct rng *r, enum fill fill)
{
    static const uint16_t limits[] = { 0x0000, 0x8000, 0x0001, 0x83ff, 0x0400, 0x7bff, 0xfbff };

    if (fill == FILL_LIMITS) return limits[rng_below(r, COUNT(limits))];
    return (uint16_t)(0x1c00 | (rng_u64(r) & 0x83ff));      /* 2^-8 .. 2^-7, either sign */
}

/* Of MXFP4: 2^-8 or 2^-7; limits: far from each other, and products within floats' range. */
static inline uint8_t random_exponent(struct rng *r, enum fill fill)
{
    static const uint8_t limits[] = { 28, 60, 128, 160 };

    if (fill == FILL_LIMITS) return limits[rng_below(r, COUNT(limits))];
    return (uint8_t)(120 + rng_below(r, 2));
}

static inline float random_normal(struct rng *r)
{
    double sum = 0;

    for (int i = 0; i < 12; i++) sum += rng_unit(r);
    return (float)(sum - 6);
}

/* Weight i of a block of F32, F16 or BF16. */
static inline void put_float(uint32_t type, uint8_t *block, size_t i, float w)
{
    uint32_t bits;
    memcpy(&bits, &w, sizeof bits);
    if (type == QUANT_F32) memcpy(block + 4 * i, &w, sizeof w);
    else put_half(block + 2 * i, type == QUANT_F16 ? f16_of_f32(w) : (uint16_t)(bits >> 16));
}

/* 32 weights of F32, F16 or BF16. */
static inline void fill_floats(struct rng *r, uint32_t type, uint8_t *block, enum fill fill)
{
    static const float limits[] = { 0, 1e-8f, -3e-5f, 1, -65504, 65504, 1e-3f };
    const float scale = fill == FILL_LIMITS ? limits[rng_below(r, COUNT(limits))] : 0.02f;

    for (size_t k = 0; k < 32; k++)
        put_float(type, block, k, fill == FILL_LIMITS ? scale : scale * random_normal(r));
}

static inline void fill_block(struct rng *r, const struct file_type *t, uint8_t *block,
                              enum fill fill)
{
    static const uint8_t patterns[] = { 0x00, 0xff, 0x7f, 0x80, 0x55, 0xaa };

    if (t->type == QUANT_F32 || t->type == QUANT_F16 || t->type == QUANT_BF16) {
        fill_floats(r, t->type, block, fill);
        return;
    }
    const uint8_t first = patterns[rng_below(r, COUNT(patterns))];
    const uint8_t second = patterns[rng_below(r, COUNT(patterns))];
    const uint32_t split = t->type == QUANT_Q6_K ? 192 : (uint32_t)rng_below(r, t->block_bytes);
    for (uint32_t i = 0; i < t->block_bytes; i++)
        block[i] = fill == FILL_RANDOM ? (uint8_t)rng_u64(r) : i < split ? first : second;
    if (t->type == QUANT_MXFP4) block[0] = random_exponent(r, fill);
    for (int i = 0; i < 2; i++) {
        uint16_t scale = random_scale(r, fill);
        /* IQ4_XS panels saturate above 65504 / 32 */
        if (t->type == QUANT_IQ4_XS && (scale & 0x7fff) > 0x67fc) scale = (scale & 0x8000) | 0x67fc;
        if (t->half_at[i] >= 0) put_half(block + t->half_at[i], scale);
    }
}

/* n_rows rows of n_k weights; release with free. */
static inline uint8_t *random_rows(struct rng *r, const struct file_type *t, uint32_t n_rows,
                                   uint32_t n_k, enum fill fill)
{
    const size_t n_blocks = (size_t)n_rows * n_k / t->block_weights;
    uint8_t *rows = malloc(n_blocks * t->block_bytes);

    assert_non_null(rows);
    for (size_t b = 0; b < n_blocks; b++) fill_block(r, t, rows + b * t->block_bytes, fill);
    return rows;
}

#endif
