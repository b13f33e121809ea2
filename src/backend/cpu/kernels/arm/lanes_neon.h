/* Floats in 128-bit NEON registers: the primitives of product_rows.h and lanes_*.h. Include it only
 * from *_neon.c. */
#ifndef BACKEND_CPU_KERNELS_ARM_LANES_NEON_H
#define BACKEND_CPU_KERNELS_ARM_LANES_NEON_H

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#include "backend/cpu/kernels/inlining.h"

enum { LANES = 4, ACCUMULATORS = 16 };  /* 16 of 32 registers, four chains of 4 cycles a port */
typedef float32x4_t vf;

INLINE vf set1_f(float x) { return vdupq_n_f32(x); }
INLINE vf add_f(vf a, vf b) { return vaddq_f32(a, b); }
INLINE vf sub_f(vf a, vf b) { return vsubq_f32(a, b); }
INLINE vf mul_f(vf a, vf b) { return vmulq_f32(a, b); }
INLINE vf div_f(vf a, vf b) { return vdivq_f32(a, b); }
INLINE vf fma_f(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
INLINE vf fnma_f(vf a, vf b, vf c) { return vfmsq_f32(c, a, b); }
INLINE vf max_f(vf a, vf b) { return vmaxq_f32(a, b); }
INLINE vf min_f(vf a, vf b) { return vminq_f32(a, b); }
INLINE vf round_f(vf a) { return vrndnq_f32(a); }

/* 2^a of whole numbers in -126 .. 127 */
INLINE vf power_of_two(vf a)
{
    const int32x4_t biased = vaddq_s32(vcvtq_s32_f32(a), vdupq_n_s32(127));
    return vreinterpretq_f32_s32(vshlq_n_s32(biased, 23));
}

/* a, and 0 where it is NaN */
INLINE vf number_or_0(vf a)
{
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a), vceqq_f32(a, a)));
}

INLINE vf load_f(const float *p) { return vld1q_f32(p); }
INLINE void store_f(float *p, vf a) { vst1q_f32(p, a); }
INLINE vf load_f16(const uint16_t *p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }

/* Codes of KV types, see kv_tiles.h */
INLINE vf load_bf16(const uint8_t *p)
{
    const uint32x4_t wide = vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p)), 16);
    return vreinterpretq_f32_u32(wide);
}

/* Four bytes as 16-bit integers with their sign. */
INLINE int16x4_t load_s8(const uint8_t *p)
{
    uint32_t four;
    memcpy(&four, p, sizeof four);
    return vget_low_s16(vmovl_s8(vreinterpret_s8_u32(vdup_n_u32(four))));
}

INLINE vf load_q8(const uint8_t *p) { return vcvtq_f32_s32(vmovl_s16(load_s8(p))); }

/* As halves: the same exponents and mantissas, but exponents count from 7 less 15. Widened with its
 * sign, a code has it in bits 7 to 15. */
INLINE vf load_f8(const uint8_t *p)
{
    const uint16x4_t up = vreinterpret_u16_s16(vshl_n_s16(load_s8(p), 7));
    return vcvt_f32_f16(vreinterpret_f16_u16(vand_u16(up, vdup_n_u16(0xbf80))));
}

INLINE void store_f16(uint16_t *p, vf a)
{
    vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(a)));
}

/* 2 * LANES neighbours: those at even places to *even, at odd places to *odd */
INLINE void load_pairs(const float *p, vf *even, vf *odd)
{
    const float32x4x2_t both = vld2q_f32(p);
    *even = both.val[0];
    *odd = both.val[1];
}

INLINE void store_pairs(float *p, vf even, vf odd)
{
    const float32x4x2_t both = { { even, odd } };
    vst2q_f32(p, both);
}

/* The sum of all lanes as a tree: each half onto the other. */
INLINE float sum_lanes(vf a)
{
    const float32x2_t two = vadd_f32(vget_low_f32(a), vget_high_f32(a));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

INLINE float max_lanes(vf a) { return vmaxvq_f32(a); }

#endif
