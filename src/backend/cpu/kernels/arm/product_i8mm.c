/* Panel products, NEON with smmla: two rows of eight k times two columns of eight k at once, twice
 * the work of sdot. A column without a partner goes through sdot. */
#include "backend/cpu/kernels/arm/product_arm.h"

enum { PRODUCT_GROUP = 4 };

/* dot[c] and dot[c + 1] of a pair of columns: [row 0 c, row 0 c + 1, row 1 c, row 1 c + 1] and the
 * same of rows 2 and 3, until finish_dots. */
#define HAS_DOTS_OF_8

INLINE int8x16_t eight_k_of_two(const uint8_t *x, size_t stride)
{
    return vcombine_s8(vreinterpret_s8_u8(vld1_u8(x)), vreinterpret_s8_u8(vld1_u8(x + stride)));
}

/* flip_x: bits to turn over in the activations. */
INLINE void dots_signed(vi *dot, vi low, vi high, const void *x, size_t stride, uint8_t flip_x,
                        const int n_cols)
{
    const int8x16_t rows_01 = bytes(vzip1q_s32(low, high)), rows_23 = bytes(vzip2q_s32(low, high));
    const int8x16_t flip = vreinterpretq_s8_u8(vdupq_n_u8(flip_x));
    int c = 0;
    UNROLL for (; c + 2 <= n_cols; c += 2) {
        const uint8_t *at = (const uint8_t *)x + (size_t)c * stride;
        const int8x16_t cols = veorq_s8(eight_k_of_two(at, stride), flip);
        dot[c] = vmmlaq_s32(dot[c], rows_01, cols);
        dot[c + 1] = vmmlaq_s32(dot[c + 1], rows_23, cols);
    }
    if (c < n_cols) {
        const uint8_t *at = (const uint8_t *)x + (size_t)c * stride;
        const int32_t turn = (int32_t)(flip_x * 0x01010101u);
        dot[c] =
            dot_us(dot_us(dot[c], low, four_bytes(at) ^ turn), high, four_bytes(at + 4) ^ turn);
    }
}

INLINE void dots_us(vi *dot, vi low, vi high, const void *x, size_t stride, const int n_cols)
{
    dots_signed(dot, low, high, x, stride, 0, n_cols);
}

INLINE vi unbiased(vi w) { return of_bytes(veorq_u8(ubytes(w), vdupq_n_u8(0x80))); }

INLINE void dots_q8(vi *dot, vi low, vi high, const void *x, size_t stride, const int n_cols)
{
    dots_signed(dot, unbiased(low), unbiased(high), x, stride, 0, n_cols);
}

INLINE void dots_q6(vi *dot, vi low, vi high, const void *x, size_t stride, const int n_cols)
{
    dots_signed(dot, low, high, x, stride, 0x80, n_cols);
}

INLINE void finish_dots(vi *dot, const int n_cols)
{
    UNROLL for (int c = 0; c + 2 <= n_cols; c += 2) {
        const vi first = vuzp1q_s32(dot[c], dot[c + 1]);
        dot[c + 1] = vuzp2q_s32(dot[c], dot[c + 1]);
        dot[c] = first;
    }
}

#include "backend/cpu/kernels/product_rows.h"

void cpu_product_i8mm(struct cpu_kernels *k)
{
    set_products(k);
}
