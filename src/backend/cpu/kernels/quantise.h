/* Activation quantising, one implementation per instruction set; all give the same bytes.
 *
 * Of a block (256 or 32 values): top = max|x|, d = top / 127, q = x * (127 / top) rounded to
 * nearest, ties to even. Two rules keep everything downstream finite whatever comes in:
 *   - NaN, infinities and magnitudes above 2^100 count as 0;
 *   - a block whose top is below 2^-110 counts as all zero (127 / top would overflow). */
#ifndef BACKEND_CPU_KERNELS_QUANTISE_H
#define BACKEND_CPU_KERNELS_QUANTISE_H

#include <stdint.h>
#include <string.h>

#include "backend/cpu/act.h"

#define QUANTISE_MAX 0x1p100f
#define QUANTISE_MIN 0x1p-110f

/* n is a multiple of 256, or 32; to or to_u may be NULL. */
void quantise_x256_scalar(const float *x, uint32_t n, struct act_x256 *to, struct act_x256u *to_u,
                          uint32_t ld);
void quantise_x32_scalar(const float *x, uint32_t n, struct act_x32 *to, uint32_t ld);

void quantise_x256_avx512(const float *x, uint32_t n, struct act_x256 *to, struct act_x256u *to_u,
                          uint32_t ld);
void quantise_x32_avx512(const float *x, uint32_t n, struct act_x32 *to, uint32_t ld);

void quantise_x256_avx2(const float *x, uint32_t n, struct act_x256 *to, struct act_x256u *to_u,
                        uint32_t ld);
void quantise_x32_avx2(const float *x, uint32_t n, struct act_x32 *to, uint32_t ld);

void quantise_x256_neon(const float *x, uint32_t n, struct act_x256 *to, struct act_x256u *to_u,
                        uint32_t ld);
void quantise_x32_neon(const float *x, uint32_t n, struct act_x32 *to, uint32_t ld);

/* Bits of |x|: in this order NaN and infinity come after all numbers, so one integer maximum finds
 * the top of a block and whether it holds anything that must not be used. */
static inline uint32_t quantise_abs_bits(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits & 0x7fffffff;
}

static inline uint32_t quantise_max_bits(void)
{
    return quantise_abs_bits(QUANTISE_MAX);
}

/* The rare block with unusable values: copies it with zeros in their place. */
static inline void quantise_clean(const float *x, uint32_t n, float *clean)
{
    for (uint32_t k = 0; k < n; k++)
        clean[k] = quantise_abs_bits(x[k]) > quantise_max_bits() ? 0.0f : x[k];
}

#endif
