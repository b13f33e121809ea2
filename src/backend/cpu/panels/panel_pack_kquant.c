/* Packing Q4_K, Q5_K, Q6_K and, held exactly as Q6_K, Q3_K. */
#include "backend/cpu/panels/panel_pack.h"

#include "quant/blocks.h"
#include "quant/quant.h"

static void quanta_q4_k(const struct q4_k *from, uint8_t q[256])
{
    for (int j = 0; j < 4; j++)
        for (int l = 0; l < 32; l++) {
            q[64 * j + l] = from->qs[32 * j + l] & 15;
            q[64 * j + 32 + l] = from->qs[32 * j + l] >> 4;
        }
}

static void quanta_q5_k(const struct q5_k *from, uint8_t q[256])
{
    for (int j = 0; j < 4; j++)
        for (int l = 0; l < 32; l++) {
            const int low = from->qs[32 * j + l] & 15, high = from->qs[32 * j + l] >> 4;
            q[64 * j + l] = (uint8_t)(low | (from->qh[l] >> (2 * j) & 1) << 4);
            q[64 * j + 32 + l] = (uint8_t)(high | (from->qh[l] >> (2 * j + 1) & 1) << 4);
        }
}

void panel_pack_q4_k(uint8_t *panel, const uint8_t *rows, size_t row_bytes, uint32_t n_rows,
                     uint32_t n_k)
{
    for (uint32_t b = 0; b < n_k / 256; b++) {
        struct panel_q4_k *w = (struct panel_q4_k *)panel + b;
        for (uint32_t row = 0; row < n_rows; row++) {
            const struct q4_k *from = (const struct q4_k *)(rows + row * row_bytes) + b;
            uint8_t q[256];
            quanta_q4_k(from, q);
            for (int s = 0; s < 8; s++) {
                kquant_scale_min(from->scales, s, &w->scale[s][row], &w->min[s / 2][row][s % 2]);
                for (int g = 0; g < 4; g++) put_nibbles(w->q[s][g], row, q + 32 * s + 8 * g);
            }
            w->d[row] = from->d;
            w->dmin[row] = from->dmin;
        }
    }
}

void panel_pack_q5_k(uint8_t *panel, const uint8_t *rows, size_t row_bytes, uint32_t n_rows,
                     uint32_t n_k)
{
    for (uint32_t b = 0; b < n_k / 256; b++) {
        struct panel_q5_k *w = (struct panel_q5_k *)panel + b;
        for (uint32_t row = 0; row < n_rows; row++) {
            const struct q5_k *from = (const struct q5_k *)(rows + row * row_bytes) + b;
            uint8_t q[256];
            quanta_q5_k(from, q);
            for (int s = 0; s < 8; s++) {
                kquant_scale_min(from->scales, s, &w->scale[s][row], &w->min[s / 2][row][s % 2]);
                for (int g = 0; g < 4; g++) put_nibbles(w->q[s].low[g], row, q + 32 * s + 8 * g);
                put_fifth_bits(w->q[s].high, row, q + 32 * s);
            }
            w->d[row] = from->d;
            w->dmin[row] = from->dmin;
        }
    }
}

/* What a row's block is before it goes into a Q6_K panel. */
struct block_q6_k {
    int8_t q[256];              /* q - 32 */
    int8_t scale[16];
    uint16_t d;
};

static void load_q6_k(const struct q6_k *from, struct block_q6_k *to)
{
    for (int half = 0; half < 2; half++)
        for (int l = 0; l < 32; l++) {
            const int low0 = from->ql[64 * half + l], low1 = from->ql[64 * half + 32 + l];
            const int high = from->qh[32 * half + l];
            int8_t *q = to->q + 128 * half + l;
            q[0] = (int8_t)(((low0 & 15) | (high & 3) << 4) - 32);
            q[32] = (int8_t)(((low1 & 15) | (high >> 2 & 3) << 4) - 32);
            q[64] = (int8_t)((low0 >> 4 | (high >> 4 & 3) << 4) - 32);
            q[96] = (int8_t)((low1 >> 4 | (high >> 6) << 4) - 32);
        }
    memcpy(to->scale, from->scales, sizeof to->scale);
    to->d = from->d;
}

static void load_q3_k(const struct q3_k *from, struct block_q6_k *to)
{
    for (int half = 0; half < 2; half++)
        for (int j = 0; j < 4; j++)
            for (int l = 0; l < 32; l++) {
                const int low = from->qs[32 * half + l] >> (2 * j) & 3;
                const int is_upper = from->hmask[l] >> (4 * half + j) & 1;
                to->q[128 * half + 32 * j + l] = (int8_t)(low + 4 * is_upper - 4);
            }
    for (int s = 0; s < 16; s++) to->scale[s] = (int8_t)q3_k_scale(from, s);
    to->d = from->d;
}

/* Stores q - 32 in six bits: low nibbles in pairs, the two top bits of 16 k in one line. */
static void put_block_q6_k(struct panel_q6_k *w, uint32_t row, const struct block_q6_k *from)
{
    const uint8_t *q = (const uint8_t *)from->q;
    int32_t start = 0;

    for (int s = 0; s < 16; s++, q += 16) {
        uint32_t high = 0;
        int sum = 0;
        for (int g = 0; g < 4; g++) high |= (four_of(q + 4 * g) >> 4 & 0x03030303) << (6 - 2 * g);
        for (int k = 0; k < 16; k++) sum += from->q[16 * s + k];
        put_four(w->q[s].high, row, high);
        put_nibbles(w->q[s].low[0], row, q);
        put_nibbles(w->q[s].low[1], row, q + 8);
        w->scale[s][row] = from->scale[s];
        start += from->scale[s] * sum;
    }
    w->start[row] = -128 * 4 * start;           /* |start| <= 256 * 128 * 32 = 2^20 before */
    w->d[row] = from->d;
}

void panel_pack_q6_k(uint8_t *panel, uint32_t quant_type, const uint8_t *rows, size_t row_bytes,
                     uint32_t n_rows, uint32_t n_k)
{
    for (uint32_t b = 0; b < n_k / 256; b++)
        for (uint32_t row = 0; row < n_rows; row++) {
            const uint8_t *from = rows + row * row_bytes;
            struct block_q6_k block;
            if (quant_type == QUANT_Q3_K) load_q3_k((const struct q3_k *)from + b, &block);
            else load_q6_k((const struct q6_k *)from + b, &block);
            put_block_q6_k((struct panel_q6_k *)panel + b, row, &block);
        }
}
