/* Quantised activation columns: what the products read beside the panels.
 *
 * Order in memory is [block][column]: the columns of a block lie together, so a kernel addresses
 * all of them from one pointer with constant offsets; block b of column c is at [b * ld + c].
 *
 * x256: one scale per 256 values, for the K-quants. x256u: the same values + 128, for Q6_K, whose
 * weights are the signed operand. x32: one scale per 32 values. f32: the values themselves, for
 * weights that are floats. Quanta lie in -127 .. 127:
 * d = max|x| / 127, q = x * (127 / max|x|) rounded to nearest, ties to even; all zero: d = 0.
 * Blocks of 256 fill whole cache lines, so that a matrix unit's rows of 64 lie in one each.
 * NaN, infinities and magnitudes above 2^100 count as 0, so d and d_sum are always finite. */
#ifndef BACKEND_CPU_ACT_H
#define BACKEND_CPU_ACT_H

#include <stdint.h>

struct act_x256 {
    int8_t q[256];
    int16_t sum32[8];       /* sums of 32 neighbours */
    float d;
    int32_t unused[11];
};                          /* 320 bytes */

struct act_x256u {
    uint8_t u[256];         /* q + 128 */
    float d;
    int32_t unused[15];
};                          /* 320 bytes */

struct act_x32 {
    int8_t q[32];
    int32_t start;          /* -128 * sum of q: where the accumulators of biased weights begin */
    float d;
    float d_sum;            /* d * sum of q, for formats with an additive minimum */
    int32_t unused;
};                          /* 48 bytes */

struct act_f32 {
    float v[32];            /* NaN, infinities and magnitudes above 2^100 are 0 */
};                          /* 128 bytes */

/* One buffer of columns in every form its readers need; a form nobody needs is NULL. */
struct act {
    struct act_x256 *x256;      /* (n_k / 256, ld) */
    struct act_x256u *x256u;    /* (n_k / 256, ld) */
    struct act_x32 *x32;        /* (n_k / 32, ld) */
    struct act_f32 *f32;        /* (n_k / 32, ld) */
};

#endif
