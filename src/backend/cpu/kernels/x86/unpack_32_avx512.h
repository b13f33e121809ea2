/* 32 k of the 32-block formats as bytes to multiply, and their scales: what the products of AVX-512
 * and of AMX share. Signed quanta become bytes around 128; with a minimum they are unsigned as they
 * are. Layouts: panel_layout.h. */
#ifndef BACKEND_CPU_KERNELS_X86_UNPACK_32_AVX512_H
#define BACKEND_CPU_KERNELS_X86_UNPACK_32_AVX512_H

#include "backend/cpu/panels/panel_layout.h"
#include "backend/cpu/kernels/x86/product_avx512.h"
#include "quant/blocks.h"

/* Q4_0: the high nibble is in place at the top of its byte and costs one `and`. */
INLINE void unpack_q4_0(const uint8_t *lines, __m512i v[8])
{
    const __m512i top = _mm512_set1_epi8((char)0xf0);

    UNROLL for (int g = 0; g < 4; g++) {
        const __m512i both = _mm512_load_si512(lines + g * 64);
        v[2 * g] = _mm512_and_si512(_mm512_slli_epi16(both, 4), top);
        v[2 * g + 1] = _mm512_and_si512(both, top);
    }
}

INLINE void unpack_q4_1(const uint8_t *lines, __m512i v[8])
{
    const __m512i nibble = _mm512_set1_epi8(15);

    UNROLL for (int g = 0; g < 4; g++) {
        const __m512i both = _mm512_load_si512(lines + g * 64);
        v[2 * g] = _mm512_and_si512(both, nibble);
        v[2 * g + 1] = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
    }
}

/* Fifth bit on top, nibble below it. */
INLINE void unpack_q5_0(const uint8_t *lines, __m512i v[8])
{
    const __m512i nibble = _mm512_set1_epi8(0x78);
    const __m512i bits = _mm512_load_si512(lines);

    UNROLL for (int g = 0; g < 4; g++) {
        const __m512i both = _mm512_load_si512(lines + 64 + g * 64);
        v[2 * g] = and_or(_mm512_slli_epi16(both, 3), nibble, move_bit(bits, 2 * g, 7));
        v[2 * g + 1] = and_or(_mm512_srli_epi16(both, 1), nibble, move_bit(bits, 2 * g + 1, 7));
    }
}

INLINE void unpack_q5_1(const uint8_t *lines, __m512i v[8])
{
    const __m512i nibble = _mm512_set1_epi8(15);
    const __m512i bits = _mm512_load_si512(lines);

    UNROLL for (int g = 0; g < 4; g++) {
        const __m512i both = _mm512_load_si512(lines + 64 + g * 64);
        v[2 * g] = and_or(both, nibble, move_bit(bits, 2 * g, 4));
        v[2 * g + 1] = and_or(_mm512_srli_epi16(both, 4), nibble, move_bit(bits, 2 * g + 1, 4));
    }
}

/* Nibbles look up their quanta, shifted, + 128. */
INLINE void unpack_by_table(const int8_t codebook[16], const int shift, const uint8_t *lines,
                            __m512i v[8])
{
    const __m128i quanta = _mm_loadu_si128((const __m128i *)codebook);
    const __m128i top = _mm_and_si128(_mm_slli_epi16(quanta, shift),
                                      _mm_set1_epi8((char)(0xff << shift)));
    const __m512i table = _mm512_broadcast_i32x4(_mm_xor_si128(top, _mm_set1_epi8((char)0x80)));
    const __m512i nibble = _mm512_set1_epi8(15);

    UNROLL for (int g = 0; g < 4; g++) {
        const __m512i both = _mm512_load_si512(lines + g * 64);
        const __m512i high = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
        v[2 * g] = _mm512_shuffle_epi8(table, _mm512_and_si512(both, nibble));
        v[2 * g + 1] = _mm512_shuffle_epi8(table, high);
    }
}

/* format is a constant: one branch is left. */
INLINE void unpack_32(const enum panel_format format, const uint8_t *lines, __m512i v[8])
{
    switch (format) {
    case PANEL_Q4_0: unpack_q4_0(lines, v); break;
    case PANEL_Q4_1: unpack_q4_1(lines, v); break;
    case PANEL_Q5_0: unpack_q5_0(lines, v); break;
    case PANEL_Q5_1: unpack_q5_1(lines, v); break;
    case PANEL_IQ4_NL: unpack_by_table(iq4_codebook, 0, lines, v); break;
    case PANEL_MXFP4: unpack_by_table(mxfp4_codebook, 3, lines, v); break;
    default:
        UNROLL for (int g = 0; g < 8; g++) v[g] = _mm512_load_si512(lines + g * 64);
    }
}

/* The floats of which these are the exponent fields. */
INLINE __m512 load_exponents(const uint8_t *fields)
{
    const __m512i wide = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)fields));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 23));
}

/* d of the 16 rows, less what the quanta are shifted up. */
INLINE __m512 load_scales_32(const enum panel_format format, const uint8_t *scales)
{
    const int shift = panel32_shift(format);
    const __m512 d = format == PANEL_MXFP4 ? load_exponents(scales)
                                           : load_halves((const uint16_t *)scales);
    return shift ? _mm512_mul_ps(d, _mm512_set1_ps(1.0f / (float)(1 << shift))) : d;
}

#endif
