/* Activation quantising, NEON. */
#include <arm_neon.h>

#include "backend/cpu/kernels/arm/lanes_neon.h"

typedef uint32x4_t vu;

INLINE vu no_bits(void) { return vdupq_n_u32(0); }
INLINE vu max_bits(vu a, vu b) { return vmaxq_u32(a, b); }
INLINE uint32_t top_of(vu v) { return vmaxvq_u32(v); }

INLINE vu abs_bits(const float *p)
{
    return vandq_u32(vreinterpretq_u32_f32(vld1q_f32(p)), vdupq_n_u32(0x7fffffff));
}

INLINE int16x8_t quantise_8(const float *x, float inverse)
{
    const int32x4_t low = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x), inverse));
    const int32x4_t high = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + 4), inverse));
    return vcombine_s16(vqmovn_s32(low), vqmovn_s32(high));
}

INLINE void quantise_32(const float *x, float inverse, int8_t *q)
{
    for (int k = 0; k < 32; k += 16) {
        const int8x8_t low = vqmovn_s16(quantise_8(x + k, inverse));
        const int8x8_t high = vqmovn_s16(quantise_8(x + k + 8, inverse));
        vst1q_s8(q + k, vcombine_s8(low, high));
    }
}

INLINE int sum_32(const int8_t *q)
{
    return vaddlvq_s8(vld1q_s8(q)) + vaddlvq_s8(vld1q_s8(q + 16));
}

#include "backend/cpu/kernels/quantise_lanes.h"

void quantise_x256_neon(const float *x, uint32_t n, struct act_x256 *to, struct act_x256u *to_u,
                        uint32_t ld)
{
    quantise_x256(x, n, to, to_u, ld);
}

void quantise_x32_neon(const float *x, uint32_t n, struct act_x32 *to, uint32_t ld)
{
    quantise_x32(x, n, to, ld);
}
