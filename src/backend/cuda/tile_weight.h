/* One weight out of a tile (tiles.h), the slow way: what the embedding is read with, and what the
 * tests hold packing to. Read by C and by CUDA. */
#ifndef BACKEND_CUDA_TILE_WEIGHT_H
#define BACKEND_CUDA_TILE_WEIGHT_H

#include "backend/cuda/tiles.h"

#ifdef __CUDACC__
#include <cuda_fp16.h>
#define TILE_INLINE static __device__ __forceinline__
TILE_INLINE float tile_half(const uint8_t *at) { return __half2float(*(const __half *)at); }
TILE_INLINE uint32_t tile_word(const uint8_t *at) { return *(const uint32_t *)at; }
#else
#include <string.h>

#include "quant/quant.h"
#define TILE_INLINE static inline
TILE_INLINE float tile_half(const uint8_t *at)
{
    uint16_t h;
    memcpy(&h, at, sizeof h);
    return f32_of_f16(h);
}

TILE_INLINE uint32_t tile_word(const uint8_t *at)
{
    uint32_t w;
    memcpy(&w, at, sizeof w);
    return w;
}
#endif

/* Where element k of a row of a tile lies, by the letters of tiles.h; high: rows 8 .. 15. */
struct tile_place {
    uint32_t c, s, r, h, g, high, lane;
};

TILE_INLINE struct tile_place tile_place_of(uint32_t row, uint32_t k)
{
    struct tile_place p;
    p.c = k / 64;
    p.s = k % 32 / 8;
    p.r = k % 8 / 4;
    p.h = k % 64 / 32;
    p.g = row % 8;
    p.high = row / 8;
    p.lane = row % 8 * 4 + k % 4;
    return p;
}

TILE_INLINE float tile_q4_k(const uint8_t *tile, struct tile_place at)
{
    const uint32_t field = at.s % 2 * 2 + at.r, shift = 16 * at.h;
    const uint32_t w =
        tile_word(tile + (at.c * 32 + at.lane) * 16 + (at.high * 2 + at.s / 2) * 4) >> shift;
    const uint32_t q = field == 0 ? w >> 6 & 15 : field == 1 ? w >> 2 & 15
                     : field == 2 ? w >> 10 & 15 : (w >> 14 & 3) | (w & 3) << 2;
    const uint8_t *scales = tile + Q4_SCALES_AT + at.g * 32, *vector = scales + at.c / 2 * 16;
    const uint32_t w0 = tile_word(vector) >> shift, w1 = tile_word(vector + 4) >> shift,
                   w2 = tile_word(vector + 8) >> shift;
    const uint32_t of_row = at.c % 2 ? w2 : at.high ? w1 : w0;
    uint32_t sc = of_row >> 4 & 63, m = of_row >> 10 & 63;
    if (at.c % 2 && at.high) {
        sc = (w0 & 15) | (w2 & 3) << 4;
        m = (w1 & 15) | (w2 >> 2 & 3) << 4;
    }
    return tile_half(scales + 12 + 2 * at.high) / 16.0f * (float)sc * (float)q +
           tile_half(scales + 28 + 2 * at.high) * (float)m;
}

/* Scales stand as sub-blocks 0, 2, 1, 3 of the chunk: h runs first. */
TILE_INLINE float tile_q6_k(const uint8_t *tile, struct tile_place at)
{
    const uint32_t f = at.s % 2 * 2 + at.r, i = at.s / 2;
    const uint32_t low_bit = f == 0 ? 4 : f == 1 ? 0 : f == 2 ? 8 : 12;
    const uint32_t low = tile_word(tile + (at.c * 32 + at.lane) * 16 + (at.high * 2 + i) * 4);
    const uint32_t high =
        tile_word(tile + Q6_HIGH_AT + (at.c * 32 + at.lane) * 8 + at.high * 4);
    const uint32_t q = (low >> (low_bit + 16 * at.h) & 15) |
                       (high >> (2 * (4 * i + f) + 16 * at.h) & 3) << 4;
    const int scale =
        tile[Q6_SCALES_AT + (at.c * 8 + at.g) * 8 + at.high * 4 + i * 2 + at.h] - 128;
    return tile_half(tile + Q6_D_AT + at.g * 4 + at.high * 2) / 64.0f * (float)scale *
           (float)((int)q - 32);
}

TILE_INLINE float tile_q8(const uint8_t *tile, struct tile_place at)
{
    const int q =
        tile[((at.c * 2 + at.high) * 32 + at.lane) * 16 + at.s * 4 + at.r * 2 + at.h] - 128;
    return tile_half(tile + Q8_SCALES_AT + (at.c * 8 + at.g) * 8 + at.high * 4 + at.h * 2) *
           (float)q;
}

TILE_INLINE float tile_f16(const uint8_t *tile, struct tile_place at)
{
    return tile_half(tile + ((at.c * 4 + at.s) * 32 + at.lane) * 16 +
                     (at.r * 4 + at.high * 2 + at.h) * 2);
}

/* Element (row, k) of a matrix of n_blocks * 256 columns of k. */
TILE_INLINE float tile_weight(int format, const uint8_t *tiles, uint32_t n_blocks, uint32_t row,
                              uint32_t k)
{
    const uint64_t group = (uint64_t)(row / 64) * n_blocks + k / TILE_K;
    const uint8_t *tile =
        tiles + (group * TILE_GROUP + row % 64 / TILE_ROWS) * tile_bytes(format);
    const struct tile_place at = tile_place_of(row % TILE_ROWS, k % TILE_K);
    return format == TILE_Q4_K ? tile_q4_k(tile, at) : format == TILE_Q6_K ? tile_q6_k(tile, at)
         : format == TILE_Q8   ? tile_q8(tile, at) : tile_f16(tile, at);
}

#endif
