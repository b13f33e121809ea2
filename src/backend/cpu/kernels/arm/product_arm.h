/* Primitives of product_rows.h in NEON registers with sdot: both operands are signed, so the biased
 * bytes of Q8_0 panels and of x256u activations have their 128 taken off and the accumulators start
 * at zero. Include it only from *_neon.c and *_i8mm.c. */
#include <arm_neon.h>
#include <string.h>

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/arm/lanes_neon.h"
#include "backend/cpu/panels/panel_layout.h"
#include "quant/blocks.h"

enum { ROWS = 4, FLOAT_GROUP = 12 };
typedef int32x4_t vi;

INLINE int8x16_t bytes(vi v) { return vreinterpretq_s8_s32(v); }
INLINE uint8x16_t ubytes(vi v) { return vreinterpretq_u8_s32(v); }
INLINE vi of_bytes(uint8x16_t v) { return vreinterpretq_s32_u8(v); }

INLINE vi zero(void) { return vdupq_n_s32(0); }
INLINE vi set1(int32_t x) { return vdupq_n_s32(x); }
INLINE vi add(vi a, vi b) { return vaddq_s32(a, b); }
INLINE vi mul(vi a, vi b) { return vmulq_s32(a, b); }
INLINE vi shl(vi a, const int n) { return vshlq_s32(a, vdupq_n_s32(n)); }
INLINE vi load_lines(const uint8_t *p) { return of_bytes(vld1q_u8(p)); }

INLINE int32_t four_bytes(const void *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE vi low_nibbles(vi v) { return of_bytes(vandq_u8(ubytes(v), vdupq_n_u8(15))); }
INLINE vi high_nibbles(vi v) { return of_bytes(vshrq_n_u8(ubytes(v), 4)); }

INLINE vi codebook(vi v, const int8_t quanta[16], const int add)
{
    const uint8x16_t table =
        vaddq_u8(vreinterpretq_u8_s8(vld1q_s8(quanta)), vdupq_n_u8((uint8_t)add));
    return of_bytes(vqtbl1q_u8(table, ubytes(v)));
}

INLINE vi with_bit(vi v, vi bits, const int g)
{
    const uint8x16_t moved = vshlq_u8(ubytes(bits), vdupq_n_s8((int8_t)(4 - g)));
    return of_bytes(vorrq_u8(ubytes(v), vandq_u8(moved, vdupq_n_u8(16))));
}

INLINE vi quanta_q6(vi high, vi low, const int g)
{
    const uint8x16_t top = vshlq_u8(ubytes(high), vdupq_n_s8((int8_t)(2 * g - 2)));
    const vi nibbles = g % 2 ? high_nibbles(low) : low_nibbles(low);
    const uint8x16_t six = vorrq_u8(vandq_u8(top, vdupq_n_u8(0x30)), ubytes(nibbles));
    return of_bytes(vsubq_u8(veorq_u8(six, vdupq_n_u8(32)), vdupq_n_u8(32)));
}

INLINE vi dot_us(vi acc, vi w, int32_t x) { return vdotq_s32(acc, bytes(w), bytes(set1(x))); }

INLINE vi dot_q8(vi acc, vi w, int32_t x)
{
    return dot_us(acc, of_bytes(veorq_u8(ubytes(w), vdupq_n_u8(0x80))), x);
}

INLINE vi dot_q6(vi acc, vi w, int32_t x)
{
    return dot_us(acc, w, (int32_t)((uint32_t)x ^ 0x80808080u));
}

#define START_Q8(start) zero()
#define START_Q6(start) ((void)(start), zero())

INLINE vi widen_u8(const uint8_t *p)
{
    const uint16x8_t wide = vmovl_u8(vreinterpret_u8_s32(vdup_n_s32(four_bytes(p))));
    return vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(wide)));
}

INLINE vi widen_s8(const int8_t *p)
{
    const int16x8_t wide = vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four_bytes(p))));
    return vmovl_s16(vget_low_s16(wide));
}

INLINE vi dot_pairs(vi acc, const uint8_t *pairs, const int16_t *sums)
{
    const int16x8_t wide = vreinterpretq_s16_u16(vmovl_u8(vld1_u8(pairs)));
    const int16x8_t both = vreinterpretq_s16_s32(set1(four_bytes(sums)));
    const int32x4_t first = vmull_s16(vget_low_s16(wide), vget_low_s16(both));
    const int32x4_t second = vmull_s16(vget_high_s16(wide), vget_high_s16(both));
    return vaddq_s32(acc, vpaddq_s32(first, second));
}

INLINE vi high_halves(vi a) { return vandq_s32(a, set1((int32_t)0xffff0000)); }
INLINE vf to_float(vi a) { return vcvtq_f32_s32(a); }
INLINE vf float_of_bits(vi a) { return vreinterpretq_f32_s32(a); }
