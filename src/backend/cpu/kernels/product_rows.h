/* The panel products for registers narrower than a line: 8 rows (AVX2, AVX-VNNI) or 4 (NEON) at a
 * time, up to PRODUCT_GROUP columns together. The including file defines the primitives below for
 * its instruction set; the body is the same for all. Layouts and the chain of floats:
 * panel_layout.h.
 *
 * Quanta are multiplied as they are, unshifted: q of 0 .. 31 times a signed activation never
 * exceeds what 16-bit pair sums hold, and a shift of the integer sum afterwards gives the very sum
 * of the wider kernels.
 *
 *   ROWS, PRODUCT_GROUP     rows of a register, columns of a pass; FLOAT_GROUP: of floats
 *   vi, vf                  ROWS int32 (or 4 * ROWS bytes), ROWS floats
 *   zero set1 add mul shl   on int32 lanes;   load_lines: 4 * ROWS bytes
 *   codebook(v, table, add) bytes below 16 become those of the table + add
 *   low_nibbles high_nibbles(v);  with_bit(v, bits, g): v | (bit g of bits) << 4
 *   quanta_q6(high, low, g) q - 32 of the g-th four k
 *   dot_us(acc, w, x)       += w (0 .. 31) * x (signed), fours; x: four bytes in an int32
 *   dot_q8(acc, w, x)       += stored byte * x, with START_Q8(start) as the beginning
 *   dot_q6(acc, w, x)       += w (-32 .. 31) * x (biased byte), with START_Q6(start, row)
 *   widen_u8 widen_s8(p)    ROWS bytes to int32
 *   dot_pairs(acc, p, sums) += ROWS pairs of u8 times a pair of int16
 *   float_of_bits           lanes of int32 taken as floats
 *   high_halves             the upper 16 bits of each lane
 *   to_float mul_f fma_f fnma_f add_f set1_f load_f load_f16 store_f */

/* Eight k of ROWS rows (`low`: the first four) times the eight bytes at x of each column, whose
 * columns lie `stride` bytes apart. Sums are complete after finish_dots; an instruction set with
 * matrix products (HAS_DOTS_OF_8) keeps them in an order of its own until then. */
#ifndef HAS_DOTS_OF_8
#define DEFINE_DOTS(name, dot_of)                                                                  \
    INLINE void name(vi *dot, vi low, vi high, const void *x, size_t stride, const int n_cols)     \
    {                                                                                              \
        UNROLL for (int c = 0; c < n_cols; c++) {                                                  \
            const uint8_t *at = (const uint8_t *)x + (size_t)c * stride;                           \
            dot[c] = dot_of(dot_of(dot[c], low, four_bytes(at)), high, four_bytes(at + 4));        \
        }                                                                                          \
    }
DEFINE_DOTS(dots_us, dot_us)
DEFINE_DOTS(dots_q8, dot_q8)
DEFINE_DOTS(dots_q6, dot_q6)

INLINE void finish_dots(vi *dot, const int n_cols) { (void)dot, (void)n_cols; }
#endif

INLINE void rows_q45_k(const enum panel_format format, const uint8_t *panel, uint32_t n_k,
                       const struct act_x256 *x, uint32_t ld, float *out, size_t ld_out,
                       const int row, const int n_cols)
{
    const bool five = format == PANEL_Q5_K;
    const size_t block_bytes = five ? sizeof(struct panel_q5_k) : sizeof(struct panel_q4_k);
    vf sum[PRODUCT_GROUP];

    for (int c = 0; c < n_cols; c++) sum[c] = set1_f(0);
    for (uint32_t b = 0; b < n_k / 256; b++, panel += block_bytes, x += ld) {
        const struct panel_q4_k *w4 = (const struct panel_q4_k *)panel;
        const struct panel_q5_k *w5 = (const struct panel_q5_k *)panel;
        vi scaled[PRODUCT_GROUP], mins[PRODUCT_GROUP];
        for (int c = 0; c < n_cols; c++) scaled[c] = mins[c] = zero();

        for (int s = 0; s < 8; s++) {
            const uint8_t *lines = (five ? w5->q[s].low[0] : w4->q[s][0]) + 4 * row;
            const vi bits = five ? load_lines(w5->q[s].high + 4 * row) : zero();
            const vi scale = widen_u8((five ? w5->scale[s] : w4->scale[s]) + row);
            vi dot[PRODUCT_GROUP];
            for (int c = 0; c < n_cols; c++) dot[c] = zero();
            UNROLL for (int g = 0; g < 4; g++) {
                const vi both = load_lines(lines + g * PANEL_LINE);
                vi low = low_nibbles(both), high = high_nibbles(both);
                if (five) {
                    low = with_bit(low, bits, 2 * g);
                    high = with_bit(high, bits, 2 * g + 1);
                }
                dots_us(dot, low, high, x->q + s * 32 + g * 8, sizeof *x, n_cols);
            }
            finish_dots(dot, n_cols);
            for (int c = 0; c < n_cols; c++) scaled[c] = add(scaled[c], mul(dot[c], scale));
        }
        for (int p = 0; p < 4; p++)
            for (int c = 0; c < n_cols; c++)
                mins[c] = dot_pairs(mins[c], (five ? w5->min : w4->min)[p][row],
                                    x[c].sum32 + 2 * p);
        const vf d = load_f16((five ? w5->d : w4->d) + row);
        const vf dmin = load_f16((five ? w5->dmin : w4->dmin) + row);
        for (int c = 0; c < n_cols; c++) {
            const vf t = fnma_f(to_float(mins[c]), dmin, mul_f(to_float(scaled[c]), d));
            sum[c] = fma_f(t, set1_f(x[c].d), sum[c]);
        }
    }
    for (int c = 0; c < n_cols; c++) store_f(out + c * ld_out + row, sum[c]);
}

INLINE void rows_q6_k(const enum panel_format format, const uint8_t *panel, uint32_t n_k,
                      const struct act_x256u *x, uint32_t ld, float *out, size_t ld_out,
                      const int row, const int n_cols)
{
    const struct panel_q6_k *w = (const struct panel_q6_k *)panel;
    vf sum[PRODUCT_GROUP];

    (void)format;
    for (int c = 0; c < n_cols; c++) sum[c] = set1_f(0);
    for (uint32_t b = 0; b < n_k / 256; b++, w++, x += ld) {
        vi scaled[PRODUCT_GROUP];
        for (int c = 0; c < n_cols; c++) scaled[c] = START_Q6(w->start + row);
        for (int s = 0; s < 16; s++) {
            const vi high = load_lines(w->q[s].high + 4 * row);
            const vi scale = widen_s8(w->scale[s] + row);
            vi dot[PRODUCT_GROUP];
            for (int c = 0; c < n_cols; c++) dot[c] = zero();
            UNROLL for (int g = 0; g < 2; g++) {
                const vi both = load_lines(w->q[s].low[g] + 4 * row);
                dots_q6(dot, quanta_q6(high, both, 2 * g), quanta_q6(high, both, 2 * g + 1),
                        x->u + s * 16 + g * 8, sizeof *x, n_cols);
            }
            finish_dots(dot, n_cols);
            for (int c = 0; c < n_cols; c++) scaled[c] = add(scaled[c], mul(shl(dot[c], 2), scale));
        }
        const vf d = mul_f(load_f16(w->d + row), set1_f(0.25f));
        for (int c = 0; c < n_cols; c++)
            sum[c] = fma_f(mul_f(to_float(scaled[c]), d), set1_f(x[c].d), sum[c]);
    }
    for (int c = 0; c < n_cols; c++) store_f(out + c * ld_out + row, sum[c]);
}

/* 8 times four k of 32. */
INLINE void quanta_32(const enum panel_format format, const uint8_t *lines, vi v[8])
{
    const bool five = format == PANEL_Q5_0 || format == PANEL_Q5_1;
    const uint8_t *nibbles = lines + (five ? PANEL_LINE : 0);

    if (format == PANEL_Q8_0) {
        UNROLL for (int g = 0; g < 8; g++) v[g] = load_lines(lines + g * PANEL_LINE);
        return;
    }
    const vi bits = five ? load_lines(lines) : zero();
    UNROLL for (int g = 0; g < 4; g++) {
        const vi both = load_lines(nibbles + g * PANEL_LINE);
        v[2 * g] = low_nibbles(both);
        v[2 * g + 1] = high_nibbles(both);
        if (five) {
            v[2 * g] = with_bit(v[2 * g], bits, 2 * g);
            v[2 * g + 1] = with_bit(v[2 * g + 1], bits, 2 * g + 1);
        }
        if (format == PANEL_IQ4_NL) {
            v[2 * g] = codebook(v[2 * g], iq4_codebook, 128);
            v[2 * g + 1] = codebook(v[2 * g + 1], iq4_codebook, 128);
        }
        if (format == PANEL_MXFP4) {    /* 4 .. 28, as Q5_0's around 16 */
            v[2 * g] = codebook(v[2 * g], mxfp4_codebook, 16);
            v[2 * g + 1] = codebook(v[2 * g + 1], mxfp4_codebook, 16);
        }
    }
}

INLINE void rows_32(const enum panel_format format, const uint8_t *panel, uint32_t n_k,
                    const struct act_x32 *x, uint32_t ld, float *out, size_t ld_out, const int row,
                    const int n_cols)
{
    const bool has_min = panel32_has_min(format);
    const bool is_biased = format == PANEL_Q8_0 || format == PANEL_IQ4_NL;
    const int shift = panel32_shift(format);
    const size_t block_lines = panel32_n_lines(format) * PANEL_LINE;
    const uint8_t *scales = panel, *lines = panel + panel32_scales_bytes(format, n_k) + 4 * row;
    vf sum[PRODUCT_GROUP];

    for (int c = 0; c < n_cols; c++) sum[c] = set1_f(0);
    for (uint32_t b = 0; b < n_k / 32; b++, lines += block_lines, x += ld) {
        vi v[8], dot[PRODUCT_GROUP];
        quanta_32(format, lines, v);
        for (int c = 0; c < n_cols; c++) dot[c] = is_biased ? START_Q8(x[c].start) : zero();
        UNROLL for (int g = 0; g < 4; g++) {
            if (is_biased) dots_q8(dot, v[2 * g], v[2 * g + 1], x->q + 8 * g, sizeof *x, n_cols);
            else dots_us(dot, v[2 * g], v[2 * g + 1], x->q + 8 * g, sizeof *x, n_cols);
        }
        finish_dots(dot, n_cols);
        for (int c = 0; c < n_cols && shift; c++)
            dot[c] = add(shl(dot[c], shift), set1(x[c].start));
        const uint16_t *halves = (const uint16_t *)scales + row;
        vf d = format == PANEL_MXFP4 ? float_of_bits(shl(widen_u8(scales + row), 23))
                                     : load_f16(halves);
        if (shift) d = mul_f(d, set1_f(1.0f / (float)(1 << shift)));
        for (int c = 0; c < n_cols; c++)
            sum[c] = fma_f(to_float(dot[c]), mul_f(d, set1_f(x[c].d)), sum[c]);
        if (has_min) {
            const vf m = load_f16(halves + PANEL_ROWS);
            for (int c = 0; c < n_cols; c++) sum[c] = fma_f(m, set1_f(x[c].d_sum), sum[c]);
        }
        scales += panel32_block_scales(format);
    }
    for (int c = 0; c < n_cols; c++) store_f(out + c * ld_out + row, sum[c]);
}

/* Lines of the next panel, a share with each pass over rows and columns. */
INLINE void fetch_panel(const uint8_t *at, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i += PANEL_LINE) __builtin_prefetch(at + i);
}

/* Defines the product_fn `name`: passes of PRODUCT_GROUP columns, then the rest one by one. Column
 * counts are constants where the body is inlined. */
#define DEFINE_PRODUCT(name, body, format)                                                         \
    static void name(const uint8_t *panel, uint32_t n_k, const void *x, uint32_t ld, float *out,   \
                     size_t ld_out, uint32_t n_cols, size_t ahead_bytes)                           \
    {                                                                                              \
        uint32_t c = 0;                                                                            \
        if (ahead_bytes) fetch_panel(panel + ahead_bytes, ahead_bytes);                            \
        for (; c + PRODUCT_GROUP <= n_cols; c += PRODUCT_GROUP)                                    \
            for (int row = 0; row < PANEL_ROWS; row += ROWS)                                       \
                body(format, panel, n_k, (const ACT_OF_##body *)x + c, ld, out + c * ld_out,       \
                     ld_out, row, PRODUCT_GROUP);                                                  \
        for (; c < n_cols; c++)                                                                    \
            for (int row = 0; row < PANEL_ROWS; row += ROWS)                                       \
                body(format, panel, n_k, (const ACT_OF_##body *)x + c, ld, out + c * ld_out,       \
                     ld_out, row, 1);                                                              \
    }

#define ACT_OF_rows_q45_k struct act_x256
#define ACT_OF_rows_q6_k struct act_x256u
#define ACT_OF_rows_32 struct act_x32

DEFINE_PRODUCT(product_q4_k, rows_q45_k, PANEL_Q4_K)
DEFINE_PRODUCT(product_q5_k, rows_q45_k, PANEL_Q5_K)
DEFINE_PRODUCT(product_q6_k, rows_q6_k, PANEL_Q6_K)
DEFINE_PRODUCT(product_q8_0, rows_32, PANEL_Q8_0)
DEFINE_PRODUCT(product_q4_0, rows_32, PANEL_Q4_0)
DEFINE_PRODUCT(product_q4_1, rows_32, PANEL_Q4_1)
DEFINE_PRODUCT(product_q5_0, rows_32, PANEL_Q5_0)
DEFINE_PRODUCT(product_q5_1, rows_32, PANEL_Q5_1)
DEFINE_PRODUCT(product_iq4_nl, rows_32, PANEL_IQ4_NL)
DEFINE_PRODUCT(product_mxfp4, rows_32, PANEL_MXFP4)

#include "backend/cpu/kernels/product_floats.h"

static void set_products(struct cpu_kernels *k)
{
    k->product[PANEL_Q4_K] = product_q4_k;
    k->product[PANEL_Q5_K] = product_q5_k;
    k->product[PANEL_Q6_K] = product_q6_k;
    k->product[PANEL_Q8_0] = product_q8_0;
    k->product[PANEL_Q4_0] = product_q4_0;
    k->product[PANEL_Q4_1] = product_q4_1;
    k->product[PANEL_Q5_0] = product_q5_0;
    k->product[PANEL_Q5_1] = product_q5_1;
    k->product[PANEL_IQ4_NL] = product_iq4_nl;
    k->product[PANEL_MXFP4] = product_mxfp4;
    set_float_products(k);
}
