/* The bytes of each panel format: what packers write and products read.
 *
 * A "line" is 64 bytes, [16 rows][4 k]: byte 4 * row + j belongs to weight k + j of that row.
 *
 * K-quants are one struct per 256 k, one after another. The 32-blocks put all scales of the panel
 * first and then all lines, so that both are read in order:
 *
 *     scales  [n_k / 32][16 rows] f16, or with a minimum [n_k / 32][2][16 rows]: d, then m; of
 *             MXFP4 [n_k / 32][16 rows] u8, the exponent fields of floats
 *             (filled up with zeros to a multiple of 64 bytes)
 *     lines   [n_k / 32][n_lines][64]
 *
 * Floats are lines alone, k after k: F16 two k a line, [2 k][16 rows]; BF16 two k a line,
 * [16 rows][2 k]; F32 one.
 *
 * Every product follows the one chain of floats written below, column by column and in block order,
 * so that all instruction sets and column counts give the same bytes. fma() rounds once; other
 * operations round each; integer sums are exact and stay below 2^31. d, dmin and m are the f16
 * values as floats, of MXFP4 a power of 2.
 *
 *     Q4_K Q5_K  scaled = sum over sub-blocks of scale * (sum of q * x.q)
 *                mins   = sum over sub-blocks of min * x.sum32
 *                t = (float)scaled * d;  t = fma(-(float)mins, dmin, t);  sum = fma(t, x.d, sum)
 *     Q6_K       scaled = start + sum over sub-blocks of scale * (sum of 4 (q - 32) * x.u)
 *                t = (float)scaled * (d * 0.25);  sum = fma(t, x.d, sum)
 *     Q8_0 Q4_0 Q5_0 IQ4_NL MXFP4   v = (signed quantum << shift) + 128, unsigned
 *                dot = x.start + sum of v * x.q
 *                sum = fma((float)dot, (d * 2^-shift) * x.d, sum)
 *     Q4_1 Q5_1  dot = sum of q * x.q
 *                sum = fma((float)dot, d * x.d, sum);  sum = fma(m, x.d_sum, sum)
 *     F16 BF16 F32   of 32 k, ascending: part = w * x.v, then part = fma(w, x.v, part)
 *                sum = sum + part
 *
 * Of floats, what is called a product is the sum of those of slices of PANEL_SLICE k, in order
 * (product_slices.c). */
#ifndef BACKEND_CPU_PANELS_PANEL_LAYOUT_H
#define BACKEND_CPU_PANELS_PANEL_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/cpu/panels/panel.h"

enum { PANEL_LINE = 64 };       /* bytes */
enum { PANEL_SLICE = 1024 };

/* 16 rows x 256, 2,368 bytes. */
struct panel_q4_k {
    uint8_t q[8][4][64];        /* [sub-block of 32][8 k]: low nibble k 0..3, high k 4..7 */
    uint8_t scale[8][16];       /* [sub-block][row] */
    uint8_t min[4][16][2];      /* [sub-block pair][row][of the pair] */
    uint16_t d[16], dmin[16];   /* [row] f16 */
};

/* 16 rows x 256, 2,880 bytes. */
struct panel_q5_k {
    struct {
        uint8_t high[64];       /* bit g of a byte: fifth bit of k 4g .. 4g + 3 */
        uint8_t low[4][64];     /* [8 k]: low nibble k 0..3, high nibble k 4..7 */
    } q[8];                     /* [sub-block of 32] */
    uint8_t scale[8][16];       /* [sub-block][row] */
    uint8_t min[4][16][2];      /* [sub-block pair][row][of the pair] */
    uint16_t d[16], dmin[16];   /* [row] f16 */
};

/* 16 rows x 256, 3,456 bytes. Quanta are q - 32 in six bits of two's complement: unpacked to the
 * top of a byte they are 4 (q - 32) without sign extension, and d takes the 1/4. The activations
 * are the unsigned operand; `start`, -128 * sum of scale * 4 (q - 32), takes back their + 128. */
struct panel_q6_k {
    struct {
        uint8_t high[64];       /* top two bits: 6-7 of a byte for k 0..3, 4-5 for k 4..7,
                                 * 2-3 for k 8..11, 0-1 for k 12..15 */
        uint8_t low[2][64];     /* [8 k]: low nibble k 0..3, high nibble k 4..7 */
    } q[16];                    /* [sub-block of 16] */
    int8_t scale[16][16];       /* [sub-block][row] */
    int32_t start[16];          /* [row] */
    uint16_t d[16];             /* [row] f16 */
    uint16_t unused[16];        /* zero */
};

/* Lines of 32 k of a 32-block format:
 *   Q8_0  8 lines, one per 4 k, of q + 128
 *   Q4_0  4 lines, one per 8 k: low nibble k 0..3, high nibble k 4..7, of q (w = q - 8)
 *   Q4_1  4 lines, the same (w = d q + m)
 *   Q5_0  1 line of fifth bits, bit g of a byte for k 4g .. 4g + 3, then 4 of nibbles (w = q - 16)
 *   Q5_1  the same 5 lines (w = d q + m)
 *   IQ4_NL  4 lines of nibbles that choose one of 16 quanta (iq4_codebook)
 *   MXFP4   the same (mxfp4_codebook) */
static inline size_t panel32_n_lines(enum panel_format format)
{
    switch (format) {
    case PANEL_Q8_0: return 8;
    case PANEL_Q5_0:
    case PANEL_Q5_1: return 5;
    default: return 4;
    }
}

static inline bool panel32_has_min(enum panel_format format)
{
    return format == PANEL_Q4_1 || format == PANEL_Q5_1;
}

/* Bytes of a weight of a format of floats. */
static inline size_t panel_float_bytes(enum panel_format format)
{
    return format == PANEL_F32 ? sizeof(float) : sizeof(uint16_t);
}

/* How far the signed quantum is shifted up, so that its sign bit is the top bit of the byte. */
static inline int panel32_shift(enum panel_format format)
{
    return format == PANEL_Q4_0 ? 4 : format == PANEL_Q5_0 || format == PANEL_MXFP4 ? 3 : 0;
}

/* Bytes of the scales, and minima, of 32 k of the 16 rows. */
static inline size_t panel32_block_scales(enum panel_format format)
{
    if (format == PANEL_MXFP4) return PANEL_ROWS;
    return PANEL_ROWS * sizeof(uint16_t) * (panel32_has_min(format) ? 2 : 1);
}

/* Bytes of the scales in front of the lines. */
static inline size_t panel32_scales_bytes(enum panel_format format, uint32_t n_k)
{
    const size_t n_bytes = n_k / 32 * panel32_block_scales(format);
    return (n_bytes + PANEL_LINE - 1) / PANEL_LINE * PANEL_LINE;
}

/* Quanta of one row, k ascending: unsigned for Q4_K and Q5_K, q - 32 for Q6_K. */
void panel_quanta_q4_k(const struct panel_q4_k *block, uint32_t row, int8_t q[256]);
void panel_quanta_q5_k(const struct panel_q5_k *block, uint32_t row, int8_t q[256]);
void panel_quanta_q6_k(const struct panel_q6_k *block, uint32_t row, int8_t q[256]);

/* d and m (0 where there is none) of a row, of the scales of its 32 k. */
struct panel32_scale {
    float d, m;
};
struct panel32_scale panel32_scale_of(enum panel_format format, const uint8_t *scales,
                                      uint32_t row);

/* The 32 weights of a row from k on, of a format of floats. */
void panel_floats_32(enum panel_format format, const uint8_t *panel, uint32_t row, uint32_t k,
                     float w[32]);

/* Of the lines of 32 k: signed, or unsigned where the format has a minimum. */
void panel_quanta_32(enum panel_format format, const uint8_t *lines, uint32_t row, int8_t q[32]);

#endif
