/* Passes over one row of logits: the largest, sums of exponentials. What the sampler is made of.
 *
 * Every sum has a fixed order (ROW_LANES lanes, ROW_BLOCK values a block, blocks in order), so a
 * row gives the same result on every machine and thread. NaN counts as -INFINITY everywhere. No
 * allocation; any thread. */
#ifndef ENGINE_ROW_H
#define ENGINE_ROW_H

#include <stdint.h>

enum { ROW_LANES = 16, ROW_BLOCK = 256 };

/* The logits of one output column. largest[i] is the largest of block i: whoever computed the
 * logits knows it, and with it most blocks need not be looked into. */
struct row {
    float *x;                   /* (n) */
    float *largest;             /* (row_n_blocks(n)) */
    uint32_t n;
};

static inline uint32_t row_n_blocks(uint32_t n)
{
    return (n + ROW_BLOCK - 1) / ROW_BLOCK;
}

/* Makes largest[i] right, after the block's values have changed. */
void row_measure_block(const struct row *row, uint32_t i);

/* The largest value and the first place it stands at; place -1: no finite value. An infinite value
 * (a broken row) is replaced by -INFINITY first. */
struct row_max {
    float value;
    int32_t token;
};

struct row_max row_max(const struct row *row);

/* Sum of exp((row[i] - max) * scale); values far below max count as nothing. */
double row_sum_exp(const float *row, uint32_t n, float max, float scale);

/* The first token at which the running sum of exp((row[i] - max) * scale) exceeds target; where
 * rounding leaves none, the last that has any weight. */
int32_t row_find(const float *row, uint32_t n, float max, float scale, double target);

/* exp for x <= 0 to about 1 ulp; below -87: 0. */
float row_exp(float x);

#endif
