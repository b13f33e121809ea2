/* Private to panel*.c: filling panels. Whole blocks at a time: a block's quanta are spread to bytes
 * by plain loops a compiler vectorises, then go into the panel as 32-bit words of 4 neighbouring k.
 * Masks and shifts within a byte never carry, so the words' byte order does not matter. */
#ifndef BACKEND_CPU_PANELS_PANEL_PACK_H
#define BACKEND_CPU_PANELS_PANEL_PACK_H

#include <string.h>

#include "backend/cpu/panels/panel_layout.h"

/* Rows lie row_bytes apart; only the first n_rows are written, the caller has cleared the panel. */
void panel_pack_q4_k(uint8_t *panel, const uint8_t *rows, size_t row_bytes, uint32_t n_rows,
                     uint32_t n_k);
void panel_pack_q5_k(uint8_t *panel, const uint8_t *rows, size_t row_bytes, uint32_t n_rows,
                     uint32_t n_k);
/* From Q6_K or Q3_K. */
void panel_pack_q6_k(uint8_t *panel, uint32_t quant_type, const uint8_t *rows, size_t row_bytes,
                     uint32_t n_rows, uint32_t n_k);
/* From any type that a 32-block format stands for. */
void panel_pack_32(enum panel_format format, uint8_t *panel, uint32_t quant_type,
                   const uint8_t *rows, size_t row_bytes, uint32_t n_rows, uint32_t n_k);
/* F16, BF16 and F32, from the type of the same name. */
void panel_pack_floats(enum panel_format format, uint8_t *panel, const uint8_t *rows,
                       size_t row_bytes, uint32_t n_rows, uint32_t n_k);

static inline uint32_t four_of(const uint8_t *q)
{
    uint32_t word;

    memcpy(&word, q, sizeof word);
    return word;
}

static inline void put_four(uint8_t *line, uint32_t row, uint32_t word)
{
    memcpy(line + 4 * row, &word, sizeof word);
}

/* 8 quanta below 16 become one word of a line of nibbles. */
static inline void put_nibbles(uint8_t *line, uint32_t row, const uint8_t q[8])
{
    put_four(line, row, (four_of(q) & 0x0f0f0f0f) | (four_of(q + 4) & 0x0f0f0f0f) << 4);
}

/* The fifth bits of 32 quanta become one word of a line of bits. */
static inline void put_fifth_bits(uint8_t *line, uint32_t row, const uint8_t q[32])
{
    uint32_t bits = 0;

    for (int g = 0; g < 8; g++) bits |= (four_of(q + 4 * g) >> 4 & 0x01010101) << g;
    put_four(line, row, bits);
}

#endif
