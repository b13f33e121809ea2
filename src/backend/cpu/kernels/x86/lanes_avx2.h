/* Floats in 256-bit registers: the primitives of product_rows.h and lanes_*.h. Include it only from
 * *_avx2.c and *_avxvnni.c. */
#ifndef BACKEND_CPU_KERNELS_X86_LANES_AVX2_H
#define BACKEND_CPU_KERNELS_X86_LANES_AVX2_H

#include <immintrin.h>
#include <stdint.h>

#include "backend/cpu/kernels/inlining.h"

enum { LANES = 8, ACCUMULATORS = 8 };   /* 8 of 16 registers, two chains of 4 cycles a port */
typedef __m256 vf;

INLINE vf set1_f(float x) { return _mm256_set1_ps(x); }
INLINE vf add_f(vf a, vf b) { return _mm256_add_ps(a, b); }
INLINE vf sub_f(vf a, vf b) { return _mm256_sub_ps(a, b); }
INLINE vf mul_f(vf a, vf b) { return _mm256_mul_ps(a, b); }
INLINE vf div_f(vf a, vf b) { return _mm256_div_ps(a, b); }
INLINE vf fma_f(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vf fnma_f(vf a, vf b, vf c) { return _mm256_fnmadd_ps(a, b, c); }

/* Where b is NaN the result is, so a bound goes to the left. */
INLINE vf max_f(vf a, vf b) { return _mm256_max_ps(a, b); }
INLINE vf min_f(vf a, vf b) { return _mm256_min_ps(a, b); }

INLINE vf round_f(vf a)
{
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* 2^a of whole numbers in -126 .. 127 */
INLINE vf power_of_two(vf a)
{
    const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(a), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
}

/* a, and 0 where it is NaN */
INLINE vf number_or_0(vf a) { return _mm256_and_ps(a, _mm256_cmp_ps(a, a, _CMP_ORD_Q)); }

INLINE vf load_f(const float *p) { return _mm256_loadu_ps(p); }
INLINE void store_f(float *p, vf a) { _mm256_storeu_ps(p, a); }

INLINE vf load_f16(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

/* Codes of KV types, see kv_tiles.h */
INLINE vf load_bf16(const uint8_t *p)
{
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

INLINE vf load_q8(const uint8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}

/* As halves: the same exponents and mantissas, but exponents count from 7 less 15. Widened with its
 * sign, a code has it in bits 7 to 15. */
INLINE vf load_f8(const uint8_t *p)
{
    const __m128i wide = _mm_cvtepi8_epi16(_mm_loadl_epi64((const __m128i *)p));
    return _mm256_cvtph_ps(_mm_and_si128(_mm_slli_epi16(wide, 7), _mm_set1_epi16((short)0xbf80)));
}

INLINE void store_f16(uint16_t *p, vf a)
{
    _mm_storeu_si128((__m128i *)p,
                     _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

/* 2 * LANES neighbours: those at even places to *even, at odd places to *odd */
INLINE void load_pairs(const float *p, vf *even, vf *odd)
{
    const vf low = load_f(p), high = load_f(p + LANES);
    const __m256d e = _mm256_castps_pd(_mm256_shuffle_ps(low, high, 0x88));
    const __m256d o = _mm256_castps_pd(_mm256_shuffle_ps(low, high, 0xdd));
    *even = _mm256_castpd_ps(_mm256_permute4x64_pd(e, 0xd8));
    *odd = _mm256_castpd_ps(_mm256_permute4x64_pd(o, 0xd8));
}

INLINE void store_pairs(float *p, vf even, vf odd)
{
    const vf low = _mm256_unpacklo_ps(even, odd), high = _mm256_unpackhi_ps(even, odd);
    store_f(p, _mm256_permute2f128_ps(low, high, 0x20));
    store_f(p + LANES, _mm256_permute2f128_ps(low, high, 0x31));
}

/* The sum of all lanes as a tree: each half onto the other. */
INLINE float sum_lanes(vf a)
{
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

INLINE float max_lanes(vf a)
{
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

#endif
