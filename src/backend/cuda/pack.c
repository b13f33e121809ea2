#include "backend/cuda/pack.h"

#include <string.h>

#include "quant/blocks.h"
#include "quant/quant.h"

enum { GROUP_ROWS = TILE_ROWS * TILE_GROUP };

int tile_format_of(uint32_t type, uint32_t n_k)
{
    const struct quant_traits *t = quant_traits(type);
    if (!t->name || !n_k || n_k % t->block_weights) return -1;
    switch (type) {
    case QUANT_Q4_K: return TILE_Q4_K;
    case QUANT_Q3_K:
    case QUANT_Q6_K: return TILE_Q6_K;
    case QUANT_Q4_0:
    case QUANT_Q5_0:
    case QUANT_IQ4_NL:
    case QUANT_Q8_0: return TILE_Q8;
    default: return TILE_F16;
    }
}

uint64_t tile_matrix_bytes(enum tile_format format, uint32_t n_rows, uint32_t n_k,
                           uint32_t block_rows)
{
    return (uint64_t)whole(n_rows, block_rows) / TILE_ROWS * (whole(n_k, TILE_K) / TILE_K) *
           tile_bytes(format);
}

/* ---- one tile ------------------------------------------------------------------------------- */

/* The k index of field f (0..7, 4 a half) of word i (0, 1) of a lane's row in chunk c. */
static int field_k(int c, int lane, int i, int f)
{
    const int h = f >> 2, s = 2 * i + (f >> 1 & 1), r = f & 1;
    return 64 * c + 32 * h + 8 * s + 4 * r + lane % 4;
}

static uint16_t scaled_half(uint16_t half, float by)
{
    return f16_of_f32(by * f32_of_f16(half));
}

/* row[i]: the super-block of row i. */
static void pack_q4_k(uint8_t *tile, const struct q4_k row[TILE_ROWS])
{
    static const int low_bit[3] = { 6, 2, 10 };
    uint32_t q[4 * 32 * 4] = { 0 }, sc[8 * 8] = { 0 };
    for (int c = 0; c < 4; c++)
        for (int l = 0; l < 32; l++)
            for (int i = 0; i < 4; i++)
                for (int f = 0; f < 8; f++) {
                    const int k = field_k(c, l, i & 1, f);
                    const uint32_t v = (uint32_t)q4_k_quantum(&row[l / 4 + 8 * (i >> 1)], k);
                    const uint32_t w = (f & 3) < 3 ? v << low_bit[f & 3] : (v & 3) << 14 | v >> 2;
                    q[(c * 32 + l) * 4 + i] |= w << 16 * (f >> 2);
                }
    for (int g = 0; g < 8; g++)
        for (int v = 0; v < 2; v++) {
            uint32_t *w = sc + g * 8 + v * 4;
            for (int h = 0; h < 2; h++) {
                uint8_t s[4], m[4];             /* [chunk of the two][row g, g + 8] */
                for (int i = 0; i < 4; i++)
                    kquant_scale_min(row[g + 8 * (i & 1)].scales, 2 * (2 * v + (i >> 1)) + h, &s[i],
                                     &m[i]);
                w[0] |= (uint32_t)(s[0] << 4 | m[0] << 10 | (s[3] & 15)) << 16 * h;
                w[1] |= (uint32_t)(s[1] << 4 | m[1] << 10 | (m[3] & 15)) << 16 * h;
                w[2] |= (uint32_t)(s[2] << 4 | m[2] << 10 | s[3] >> 4 | m[3] >> 4 << 2) << 16 * h;
                const struct q4_k *b = &row[g + 8 * h];
                w[3] |= (uint32_t)(v ? scaled_half(b->dmin, -1) : scaled_half(b->d, 16)) << 16 * h;
            }
        }
    memcpy(tile, q, sizeof q);
    memcpy(tile + Q4_SCALES_AT, sc, sizeof sc);
}

/* Six-bit quanta (32 is zero) and the scales of sub-blocks of 16. */
struct six_bits {
    uint8_t q[TILE_K];
    int8_t scale[TILE_K / 16];
    uint16_t d;
};

static void pack_six_bits(uint8_t *tile, const struct six_bits row[TILE_ROWS])
{
    static const int low_bit[4] = { 4, 0, 8, 12 }, order[4] = { 0, 2, 1, 3 };
    uint32_t low[4 * 32 * 4] = { 0 }, high[4 * 32 * 2] = { 0 };
    uint8_t *scales = tile + Q6_SCALES_AT;
    uint16_t d[16];
    for (int c = 0; c < 4; c++)
        for (int l = 0; l < 32; l++)
            for (int i = 0; i < 4; i++)
                for (int f = 0; f < 8; f++) {
                    const uint32_t v = row[l / 4 + 8 * (i >> 1)].q[field_k(c, l, i & 1, f)];
                    const int h = f >> 2;
                    low[(c * 32 + l) * 4 + i] |= (v & 15) << (low_bit[f & 3] + 16 * h);
                    high[(c * 32 + l) * 2 + (i >> 1)] |=
                        (v >> 4) << (2 * (4 * (i & 1) + (f & 3)) + 16 * h);
                }
    for (int c = 0; c < 4; c++)
        for (int g = 0; g < 8; g++)
            for (int i = 0; i < 8; i++)
                scales[(c * 8 + g) * 8 + i] =
                    (uint8_t)(row[g + 8 * (i >> 2)].scale[4 * c + order[i & 3]] + 128);
    for (int i = 0; i < 16; i++) d[i] = scaled_half(row[i / 2 + i % 2 * 8].d, 64);
    memcpy(tile, low, sizeof low);
    memcpy(tile + Q6_HIGH_AT, high, sizeof high);
    memcpy(tile + Q6_D_AT, d, sizeof d);
}

/* Eight-bit codes and the scales of blocks of 32. */
struct eight_bits {
    int8_t q[TILE_K];
    uint16_t d[TILE_K / 32];
};

static void pack_eight_bits(uint8_t *tile, const struct eight_bits row[TILE_ROWS])
{
    uint16_t *scales = (uint16_t *)(void *)(tile + Q8_SCALES_AT);
    for (int c = 0; c < 4; c++)
        for (int l = 0; l < 32; l++)
            for (int i = 0; i < 2 * 16; i++) {
                const int high = i / 16, s = i / 4 % 4, r = i / 2 % 2, h = i % 2;
                const int k = 64 * c + 32 * h + 8 * s + 4 * r + l % 4;
                tile[((c * 2 + high) * 32 + l) * 16 + i % 16] =
                    (uint8_t)(row[l / 4 + 8 * high].q[k] + 128);
            }
    for (int i = 0; i < 4 * 8 * 4; i++) {
        const int c = i / 32, g = i / 4 % 8, high = i / 2 % 2, h = i % 2;
        scales[i] = row[g + 8 * high].d[2 * c + h];
    }
}

static void pack_halves(uint8_t *tile, uint16_t row[TILE_ROWS][TILE_K])
{
    uint16_t *to = (uint16_t *)(void *)tile;
    for (int step = 0; step < 16; step++)
        for (int l = 0; l < 32; l++)
            for (int i = 0; i < 8; i++) {
                const int high = i / 2 % 2, r = i / 4, h = i % 2;
                const int k = 64 * (step / 4) + 32 * h + 8 * (step % 4) + 4 * r + l % 4;
                to[(step * 32 + l) * 8 + i] = row[l / 4 + 8 * high][k];
            }
}

/* ---- rows of the file ----------------------------------------------------------------------- */

/* 256 weights of a row as six_bits; b points to its super-block. */
static void six_bits_of(struct six_bits *to, uint32_t type, const uint8_t *b)
{
    if (type == QUANT_Q6_K) {
        struct q6_k block;
        memcpy(&block, b, sizeof block);
        for (int k = 0; k < TILE_K; k++) to->q[k] = (uint8_t)q6_k_quantum(&block, k);
        memcpy(to->scale, block.scales, sizeof to->scale);
        to->d = block.d;
        return;
    }
    struct q3_k block;
    memcpy(&block, b, sizeof block);
    for (int k = 0; k < TILE_K; k++) to->q[k] = (uint8_t)(q3_k_quantum(&block, k) - 4 + 32);
    for (int s = 0; s < TILE_K / 16; s++) to->scale[s] = (int8_t)q3_k_scale(&block, s);
    to->d = block.d;
}

/* A block of 32; all its types begin with the scale. */
static void eight_bits_of(int8_t q[32], uint16_t *d, uint32_t type, const uint8_t *b)
{
    const uint8_t *after = b + sizeof *d;
    memcpy(d, b, sizeof *d);
    for (int k = 0; k < 32; k++)
        switch (type) {
        case QUANT_Q8_0: q[k] = (int8_t)after[k]; break;
        case QUANT_Q4_0: q[k] = (int8_t)(nibble_quantum(after, k) - 8); break;
        case QUANT_IQ4_NL: q[k] = iq4_codebook[nibble_quantum(after, k)]; break;
        default:
            q[k] = (int8_t)((nibble_quantum(after + 4, k) | fifth_bit(after, k) << 4) - 16);
            break;
        }
}

/* n_rows rows (16 at most) of n weights (256 at most), from the block at `rows`. */
static void pack_tile(enum tile_format format, uint8_t *tile, uint32_t type, const uint8_t *rows,
                      size_t row_bytes, uint32_t n_rows, uint32_t n)
{
    union {
        struct q4_k q4[TILE_ROWS];
        struct six_bits q6[TILE_ROWS];
        struct eight_bits q8[TILE_ROWS];
        uint16_t half[TILE_ROWS][TILE_K];
    } t;
    float values[TILE_K];
    const uint32_t block_bytes = quant_traits(type)->block_bytes;
    memset(&t, 0, sizeof t);
    for (uint32_t i = 0; i < n_rows; i++, rows += row_bytes)
        switch (format) {
        case TILE_Q4_K: memcpy(&t.q4[i], rows, sizeof t.q4[i]); break;
        case TILE_Q6_K: six_bits_of(&t.q6[i], type, rows); break;
        case TILE_Q8:
            for (uint32_t b = 0; b < n / 32; b++)
                eight_bits_of(t.q8[i].q + 32 * b, &t.q8[i].d[b], type, rows + b * block_bytes);
            break;
        default:
            quant_dequantise(type, rows, values, n);
            for (uint32_t k = 0; k < n; k++) t.half[i][k] = f16_of_f32(values[k]);
            break;
        }
    if (format == TILE_Q4_K) pack_q4_k(tile, t.q4);
    else if (format == TILE_Q6_K) pack_six_bits(tile, t.q6);
    else if (format == TILE_Q8) pack_eight_bits(tile, t.q8);
    else pack_halves(tile, t.half);
}

void tile_pack_group(enum tile_format format, uint8_t *to, uint32_t type, const uint8_t *rows,
                     size_t row_bytes, uint32_t n_rows, uint32_t n_k)
{
    for (uint32_t k = 0; k < n_k; k += TILE_K, rows += quant_row_bytes(type, TILE_K))
        for (uint32_t i = 0; i < GROUP_ROWS; i += TILE_ROWS, to += tile_bytes(format)) {
            const uint32_t n_left = n_rows > i ? n_rows - i : 0;
            pack_tile(format, to, type, rows + i * row_bytes, row_bytes,
                      n_left < TILE_ROWS ? n_left : TILE_ROWS, n_k - k < TILE_K ? n_k - k : TILE_K);
        }
}
