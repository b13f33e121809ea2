/* Reading panels back, a row at a time: quanta for the scalar products, floats for everybody else.
 * Four neighbouring k of a row lie in four neighbouring bytes, so one 32-bit word holds them; with
 * every shift goes a mask of the bits that stayed in their byte. */
#include "backend/cpu/panels/panel_layout.h"

#include <string.h>

#include "quant/blocks.h"
#include "quant/quant.h"

static uint32_t row_word(const uint8_t *line, uint32_t row)
{
    uint32_t word;

    memcpy(&word, line + 4 * row, sizeof word);
    return word;
}

static void put_word(int8_t *q, uint32_t word)
{
    memcpy(q, &word, sizeof word);
}

/* Four lines of nibbles: 32 quanta. */
static void nibbles_32(const uint8_t *lines, uint32_t row, int8_t q[32])
{
    for (int g = 0; g < 4; g++) {
        const uint32_t both = row_word(lines + g * PANEL_LINE, row);
        put_word(q + 8 * g, both & 0x0f0f0f0f);
        put_word(q + 8 * g + 4, both >> 4 & 0x0f0f0f0f);
    }
}

/* A line of fifth bits joins 32 nibbles. */
static void add_fifth_bits(const uint8_t *line, uint32_t row, int8_t q[32])
{
    const uint32_t bits = row_word(line, row);

    for (int g = 0; g < 8; g++) {
        uint32_t word;
        memcpy(&word, q + 4 * g, sizeof word);
        put_word(q + 4 * g, word | (bits >> g & 0x01010101) << 4);
    }
}

void panel_quanta_q4_k(const struct panel_q4_k *block, uint32_t row, int8_t q[256])
{
    for (int s = 0; s < 8; s++) nibbles_32(block->q[s][0], row, q + 32 * s);
}

void panel_quanta_q5_k(const struct panel_q5_k *block, uint32_t row, int8_t q[256])
{
    for (int s = 0; s < 8; s++) {
        nibbles_32(block->q[s].low[0], row, q + 32 * s);
        add_fifth_bits(block->q[s].high, row, q + 32 * s);
    }
}

void panel_quanta_q6_k(const struct panel_q6_k *block, uint32_t row, int8_t q[256])
{
    for (int s = 0; s < 16; s++)
        for (int g = 0; g < 4; g++) {
            const uint32_t low = row_word(block->q[s].low[g / 2], row) >> (g % 2 * 4) & 0x0f0f0f0f;
            const uint32_t high = row_word(block->q[s].high, row) >> (6 - 2 * g) & 0x03030303;
            put_word(q + 16 * s + 4 * g, low | high << 4);
        }
    for (int k = 0; k < 256; k++) q[k] = (int8_t)((q[k] ^ 32) - 32);    /* six bits, signed */
}

void panel_quanta_32(enum panel_format format, const uint8_t *lines, uint32_t row, int8_t q[32])
{
    if (format == PANEL_Q8_0) {
        for (int g = 0; g < 8; g++)
            put_word(q + 4 * g, row_word(lines + g * PANEL_LINE, row) ^ 0x80808080);
        return;
    }
    if (panel32_n_lines(format) == 5) {
        nibbles_32(lines + PANEL_LINE, row, q);
        add_fifth_bits(lines, row, q);
    } else {
        nibbles_32(lines, row, q);
    }
    if (format == PANEL_MXFP4) {
        for (int k = 0; k < 32; k++) q[k] = mxfp4_codebook[q[k]];
    } else if (format == PANEL_IQ4_NL) {
        for (int k = 0; k < 32; k++) q[k] = iq4_codebook[q[k]];
    } else if (!panel32_has_min(format)) {
        const int zero = 1 << (7 - panel32_shift(format));      /* Q4_0: 8, Q5_0: 16 */
        for (int k = 0; k < 32; k++) q[k] = (int8_t)(q[k] - zero);
    }
}

struct panel32_scale panel32_scale_of(enum panel_format format, const uint8_t *scales, uint32_t row)
{
    struct panel32_scale s = { 0, 0 };
    if (format == PANEL_MXFP4) {
        const uint32_t bits = (uint32_t)scales[row] << 23;
        memcpy(&s.d, &bits, sizeof s.d);
        return s;
    }
    const uint16_t *half = (const uint16_t *)scales;
    s.d = f32_of_f16(half[row]);
    if (panel32_has_min(format)) s.m = f32_of_f16(half[PANEL_ROWS + row]);
    return s;
}

/* Products of f16 scales with small integers are exact in float, so the order does not matter: the
 * only rounding is that of the last subtraction or addition. */
static void floats_q45_k(const int8_t *q, const uint8_t scale[8][16], const uint8_t min[4][16][2],
                         float d, float dmin, uint32_t row, float *out)
{
    for (int s = 0; s < 8; s++) {
        const float step = d * (float)scale[s][row], low = dmin * (float)min[s / 2][row][s % 2];
        for (int k = 32 * s; k < 32 * s + 32; k++) out[k] = step * (float)q[k] - low;
    }
}

static void unpack_row_kquant(enum panel_format format, const uint8_t *panel, uint32_t row,
                              uint32_t n_k, float *out)
{
    int8_t q[256];

    for (uint32_t b = 0; b < n_k / 256; b++, out += 256) {
        if (format == PANEL_Q4_K) {
            const struct panel_q4_k *w = (const struct panel_q4_k *)panel + b;
            panel_quanta_q4_k(w, row, q);
            floats_q45_k(q, w->scale, w->min, f32_of_f16(w->d[row]), f32_of_f16(w->dmin[row]), row,
                         out);
        } else if (format == PANEL_Q5_K) {
            const struct panel_q5_k *w = (const struct panel_q5_k *)panel + b;
            panel_quanta_q5_k(w, row, q);
            floats_q45_k(q, w->scale, w->min, f32_of_f16(w->d[row]), f32_of_f16(w->dmin[row]), row,
                         out);
        } else {
            const struct panel_q6_k *w = (const struct panel_q6_k *)panel + b;
            panel_quanta_q6_k(w, row, q);
            for (int k = 0; k < 256; k++)
                out[k] = f32_of_f16(w->d[row]) * (float)w->scale[k / 16][row] * (float)q[k];
        }
    }
}

void panel_floats_32(enum panel_format format, const uint8_t *panel, uint32_t row, uint32_t k,
                     float w[32])
{
    const float *whole = (const float *)panel + (size_t)k * PANEL_ROWS + row;
    const uint16_t *half = (const uint16_t *)panel + (size_t)k * PANEL_ROWS;

    for (uint32_t i = 0; i < 32; i++) {
        if (format == PANEL_F32) w[i] = whole[i * PANEL_ROWS];
        else if (format == PANEL_F16) w[i] = f32_of_f16(half[i * PANEL_ROWS + row]);
        else w[i] = f32_of_bf16(half[i / 2 * 2 * PANEL_ROWS + 2 * row + i % 2]);
    }
}

void panel_unpack_row(enum panel_format format, const uint8_t *panel, uint32_t row, uint32_t n_k,
                      float *out)
{
    if (panel_act(format) == ACT_F32) {
        for (uint32_t k = 0; k < n_k; k += 32) panel_floats_32(format, panel, row, k, out + k);
        return;
    }
    if (panel_act(format) != ACT_X32) {
        unpack_row_kquant(format, panel, row, n_k, out);
        return;
    }

    const bool has_min = panel32_has_min(format);
    const uint8_t *lines = panel + panel32_scales_bytes(format, n_k);
    for (uint32_t b = 0; b < n_k / 32; b++, out += 32) {
        const struct panel32_scale s = panel32_scale_of(format, panel, row);
        int8_t q[32];
        panel_quanta_32(format, lines, row, q);
        for (int k = 0; k < 32; k++) out[k] = has_min ? s.d * (float)q[k] + s.m : s.d * (float)q[k];
        panel += panel32_block_scales(format);
        lines += panel32_n_lines(format) * PANEL_LINE;
    }
}
