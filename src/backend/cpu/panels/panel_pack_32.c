/* Packing the 32-blocks: Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL, MXFP4 as they are, and of the types
 * without a panel of their own IQ4_XS as IQ4_NL, Q2_K as Q8_0.
 *
 *   MXFP4         scales below 2^-126 become 0: every such weight is off by less than 2^-123.
 *   IQ4_XS        the same quanta as IQ4_NL; its scale, f16 times an integer of -32 .. 31, is
 *                 rounded to f16: every weight is off by at most 2^-11 of itself (saturates where
 *                 d > 2047).
 *   Q2_K          rounded to 8 bits per 32. The scale is the smallest f16 not below max|w| / 127,
 *                 so nothing is clipped and every weight is off by at most half a step, that is by
 *                 max|w| / 254 * (1 + 2^-10) + 2^-25. This is small beside the rounding to 2-bit
 *                 steps; an exact layout would need activation sums of 16.
 *
 * NaN weights become 0; magnitudes beyond 127 * 65504 saturate. */
#include "backend/cpu/panels/panel_pack.h"

#include "quant/blocks.h"
#include "quant/quant.h"

/* 32 weights of a row on their way into a panel. */
struct block_32 {
    uint16_t d, m;              /* halves; d of MXFP4: an exponent field */
    uint8_t q[32];              /* as the panel's lines hold them: Q8_0 + 128, others unsigned */
};

static void nibbles(const uint8_t qs[16], uint8_t q[32])
{
    for (int k = 0; k < 16; k++) {
        q[k] = qs[k] & 15;
        q[k + 16] = qs[k] >> 4;
    }
}

static void add_fifth_bits(const uint8_t qh[4], uint8_t q[32])
{
    for (int k = 0; k < 32; k++) q[k] |= (uint8_t)((qh[k / 8] >> (k % 8) & 1) << 4);
}

static void load_q8_0(const void *block, struct block_32 *to)
{
    const struct q8_0 *from = block;

    to->d = from->d;
    for (int k = 0; k < 32; k++) to->q[k] = (uint8_t)(from->qs[k] + 128);
}

static void load_q4_0(const void *block, struct block_32 *to)
{
    const struct q4_0 *from = block;

    to->d = from->d;
    nibbles(from->qs, to->q);
}

static void load_q4_1(const void *block, struct block_32 *to)
{
    const struct q4_1 *from = block;

    to->d = from->d;
    to->m = from->m;
    nibbles(from->qs, to->q);
}

static void load_q5_0(const void *block, struct block_32 *to)
{
    const struct q5_0 *from = block;

    to->d = from->d;
    nibbles(from->qs, to->q);
    add_fifth_bits(from->qh, to->q);
}

static void load_q5_1(const void *block, struct block_32 *to)
{
    const struct q5_1 *from = block;

    to->d = from->d;
    to->m = from->m;
    nibbles(from->qs, to->q);
    add_fifth_bits(from->qh, to->q);
}

static void load_iq4_nl(const void *block, struct block_32 *to)
{
    const struct iq4_nl *from = block;

    to->d = from->d;
    nibbles(from->qs, to->q);
}

static void load_mxfp4(const void *block, struct block_32 *to)
{
    const struct mxfp4 *from = block;

    to->d = mxfp4_exponent(from->e);
    nibbles(from->qs, to->q);
}

/* Never infinite: a finite scale beyond f16 becomes its largest number. */
static uint16_t f16_saturated(float x)
{
    const uint16_t h = f16_of_f32(x);

    return (h & 0x7fff) == 0x7c00 ? (uint16_t)(h - 1) : h;
}

static void load_iq4_xs(const void *block, struct block_32 *to)
{
    const struct iq4_xs *from = block;
    const float d = f32_of_f16(from->d);

    for (int s = 0; s < 8; s++) {
        to[s].d = f16_saturated(d * (float)iq4_xs_scale(from, s));
        nibbles(from->qs + 16 * s, to[s].q);
    }
}

static float usable(float w)
{
    const float max = 127.0f * 65504.0f;

    return w != w ? 0 : w > max ? max : w < -max ? -max : w;
}

/* The smallest f16 that is not below x, for 0 <= x <= 65504. */
static uint16_t f16_above(float x)
{
    const uint16_t h = f16_of_f32(x);

    return f32_of_f16(h) < x ? (uint16_t)(h + 1) : h;
}

static void round_32(const float *w, struct block_32 *to)
{
    float max = 0;

    for (int k = 0; k < 32; k++) {
        const float v = usable(w[k]), magnitude = v < 0 ? -v : v;
        max = magnitude > max ? magnitude : max;
    }
    to->d = f16_above(max / 127.0f);

    const float d = f32_of_f16(to->d), inverse = d > 0 ? 1.0f / d : 0;
    for (int k = 0; k < 32; k++) {
        /* adding 1.5 * 2^23 rounds to an integer, left in the low bits of the sum */
        const float shifted = usable(w[k]) * inverse + 0x1.8p23f;
        uint32_t bits;
        memcpy(&bits, &shifted, sizeof bits);
        to->q[k] = (uint8_t)(bits + 128);
    }
}

/* As quant_dequantise, but each scale is computed once for its 16 weights. */
static void load_q2_k(const void *block, struct block_32 *to)
{
    const struct q2_k *from = block;
    const float d = f32_of_f16(from->d), dmin = f32_of_f16(from->dmin);
    float w[256];

    for (int s = 0; s < 16; s++) {
        const float step = d * (float)(from->scales[s] & 15);
        const float low = dmin * (float)(from->scales[s] >> 4);
        for (int k = 16 * s; k < 16 * s + 16; k++)
            w[k] = step * (float)q2_k_quantum(from, k) - low;
    }
    for (int i = 0; i < 8; i++) round_32(w + 32 * i, &to[i]);
}

/* Loads n_blocks blocks of 32 from n_bytes of a row. */
struct source {
    uint32_t n_bytes, n_blocks;
    void (*load)(const void *block, struct block_32 *to);
};

static struct source source_of(uint32_t quant_type)
{
    switch (quant_type) {
    case QUANT_Q8_0: return (struct source){ sizeof(struct q8_0), 1, load_q8_0 };
    case QUANT_Q4_0: return (struct source){ sizeof(struct q4_0), 1, load_q4_0 };
    case QUANT_Q4_1: return (struct source){ sizeof(struct q4_1), 1, load_q4_1 };
    case QUANT_Q5_0: return (struct source){ sizeof(struct q5_0), 1, load_q5_0 };
    case QUANT_Q5_1: return (struct source){ sizeof(struct q5_1), 1, load_q5_1 };
    case QUANT_IQ4_NL: return (struct source){ sizeof(struct iq4_nl), 1, load_iq4_nl };
    case QUANT_MXFP4: return (struct source){ sizeof(struct mxfp4), 1, load_mxfp4 };
    case QUANT_IQ4_XS: return (struct source){ sizeof(struct iq4_xs), 8, load_iq4_xs };
    default: return (struct source){ sizeof(struct q2_k), 8, load_q2_k };
    }
}

static void put_lines(enum panel_format format, uint8_t *lines, uint32_t row, const uint8_t q[32])
{
    if (format == PANEL_Q8_0) {
        for (int g = 0; g < 8; g++) put_four(lines + g * PANEL_LINE, row, four_of(q + 4 * g));
        return;
    }
    if (panel32_n_lines(format) == 5) {
        put_fifth_bits(lines, row, q);
        lines += PANEL_LINE;
    }
    for (int g = 0; g < 4; g++) put_nibbles(lines + g * PANEL_LINE, row, q + 8 * g);
}

static void put_scales(enum panel_format format, uint8_t *scales, uint32_t row,
                       const struct block_32 *block)
{
    uint16_t *half = (uint16_t *)scales;
    if (format == PANEL_MXFP4) {
        scales[row] = (uint8_t)block->d;
        return;
    }
    half[row] = block->d;
    if (panel32_has_min(format)) half[PANEL_ROWS + row] = block->m;
}

void panel_pack_32(enum panel_format format, uint8_t *panel, uint32_t quant_type,
                   const uint8_t *rows, size_t row_bytes, uint32_t n_rows, uint32_t n_k)
{
    const struct source source = source_of(quant_type);
    const size_t n_lines = panel32_n_lines(format), scale_bytes = panel32_block_scales(format);
    uint8_t *lines = panel + panel32_scales_bytes(format, n_k);

    for (uint32_t b = 0; b < n_k / 32; b += source.n_blocks, rows += source.n_bytes)
        for (uint32_t row = 0; row < n_rows; row++) {
            struct block_32 block[8];
            source.load(rows + row * row_bytes, block);
            for (uint32_t i = 0; i < source.n_blocks; i++) {
                put_scales(format, panel + (b + i) * scale_bytes, row, &block[i]);
                put_lines(format, lines + (b + i) * n_lines * PANEL_LINE, row, block[i].q);
            }
        }
}
