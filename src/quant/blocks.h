/* The bytes of each GGUF block, and the few fields that are packed in an odd way. `d` and `m` are
 * f16 scales and minima. Structs hold no padding and are read from unaligned memory through memcpy
 * or as arrays of bytes and 16-bit numbers, whose files are 2-byte aligned (blocks of bytes alone
 * are not). */
#ifndef QUANT_BLOCKS_H
#define QUANT_BLOCKS_H

#include <stdint.h>

/* 32 weights a block */
struct q4_0 { uint16_t d; uint8_t qs[16]; };                /* d (q - 8); low nibbles: k 0..15 */
struct q4_1 { uint16_t d, m; uint8_t qs[16]; };             /* d q + m */
struct q5_0 { uint16_t d; uint8_t qh[4], qs[16]; };         /* d (q - 16); qh: 32 fifth bits */
struct q5_1 { uint16_t d, m; uint8_t qh[4], qs[16]; };      /* d q + m */
struct q8_0 { uint16_t d; int8_t qs[32]; };                 /* d q */
struct iq4_nl { uint16_t d; uint8_t qs[16]; };              /* d codebook[q] */
struct mxfp4 { uint8_t e; uint8_t qs[16]; };                /* 2^(e - 128) codebook[q] */

/* 256 weights a block; sub-blocks of 16 (Q2_K Q3_K Q6_K) or 32 (Q4_K Q5_K IQ4_XS) */
struct q2_k { uint8_t scales[16], qs[64]; uint16_t d, dmin; };              /* d sc q - dmin m */
struct q3_k { uint8_t hmask[32], qs[64], scales[12]; uint16_t d; };         /* d (sc - 32)(q - 4) */
struct q4_k { uint16_t d, dmin; uint8_t scales[12], qs[128]; };             /* d sc q - dmin m */
struct q5_k { uint16_t d, dmin; uint8_t scales[12], qh[32], qs[128]; };     /* d sc q - dmin m */
struct q6_k { uint8_t ql[128], qh[64]; int8_t scales[16]; uint16_t d; };    /* d sc (q - 32) */
struct iq4_xs { uint16_t d, scales_h; uint8_t scales_l[4], qs[128]; };  /* d (sc - 32) codebook */

/* The 16 values of the IQ4 types, closer together around zero than a linear scale. */
static const int8_t iq4_codebook[16] = {
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
};

/* The 16 values of E2M1, four-bit floats, doubled (OCP Microscaling Formats 1.0, 2023). */
static const int8_t mxfp4_codebook[16] = {
    0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12,
};

/* The exponent field of the float 2^(e - 128), half the scale that a block's e stands for, which
 * goes with the doubled values. 0, so a scale of 0, where that float has none of its own. */
static inline uint8_t mxfp4_exponent(uint8_t e)
{
    return e ? (uint8_t)(e - 1) : 0;
}

/* Six-bit scale and minimum of sub-block s (0..7) of a Q4_K or Q5_K block. */
static inline void kquant_scale_min(const uint8_t packed[12], int s, uint8_t *scale, uint8_t *min)
{
    if (s < 4) {
        *scale = packed[s] & 63;
        *min = packed[s + 4] & 63;
    } else {
        *scale = (uint8_t)((packed[s + 4] & 15) | (packed[s - 4] >> 6) << 4);
        *min = (uint8_t)(packed[s + 4] >> 4 | (packed[s] >> 6) << 4);
    }
}

/* Six-bit scale of sub-block s (0..15) of a Q3_K block, 32 taken off. */
static inline int q3_k_scale(const struct q3_k *b, int s)
{
    const int low = b->scales[s % 8] >> (s / 8 * 4) & 15;
    const int high = b->scales[8 + s % 4] >> (s / 4 * 2) & 3;
    return (low | high << 4) - 32;
}

/* Six-bit scale of sub-block s (0..7) of an IQ4_XS block, 32 taken off. */
static inline int iq4_xs_scale(const struct iq4_xs *b, int s)
{
    const int low = b->scales_l[s / 2] >> (s % 2 * 4) & 15;
    const int high = b->scales_h >> (2 * s) & 3;
    return (low | high << 4) - 32;
}

/* Quantum k of a block, as the comments above use it. */
static inline int nibble_quantum(const uint8_t qs[16], int k)
{
    return qs[k % 16] >> (k / 16 * 4) & 15;
}

static inline int fifth_bit(const uint8_t qh[4], int k)
{
    return qh[k / 8] >> (k % 8) & 1;
}

static inline int q2_k_quantum(const struct q2_k *b, int k)
{
    return b->qs[k / 128 * 32 + k % 32] >> (k % 128 / 32 * 2) & 3;
}

static inline int q3_k_quantum(const struct q3_k *b, int k)
{
    const int low = b->qs[k / 128 * 32 + k % 32] >> (k % 128 / 32 * 2) & 3;
    return low | (b->hmask[k % 32] >> (k / 32) & 1) << 2;
}

static inline int q4_k_quantum(const struct q4_k *b, int k)
{
    return b->qs[k / 64 * 32 + k % 32] >> (k / 32 % 2 * 4) & 15;
}

static inline int q5_k_quantum(const struct q5_k *b, int k)
{
    const int low = b->qs[k / 64 * 32 + k % 32] >> (k / 32 % 2 * 4) & 15;
    return low | (b->qh[k % 32] >> (k / 32) & 1) << 4;
}

static inline int q6_k_quantum(const struct q6_k *b, int k)
{
    const int half = k / 128, quarter = k % 128 / 32, l = k % 32;
    const int low = b->ql[half * 64 + quarter % 2 * 32 + l] >> (quarter / 2 * 4) & 15;
    return low | (b->qh[half * 32 + l] >> (2 * quarter) & 3) << 4;
}

static inline int iq4_xs_quantum(const struct iq4_xs *b, int k)
{
    return nibble_quantum(b->qs + k / 32 * 16, k % 32);
}

#endif
