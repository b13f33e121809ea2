/* Activation quantising, AVX2. */
#include <immintrin.h>

#include "backend/cpu/kernels/x86/lanes_avx2.h"

typedef __m256i vu;

INLINE vu no_bits(void) { return _mm256_setzero_si256(); }
INLINE vu max_bits(vu a, vu b) { return _mm256_max_epu32(a, b); }

INLINE vu abs_bits(const float *p)
{
    const vu bits = _mm256_loadu_si256((const __m256i *)p);
    return _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff));
}

INLINE uint32_t top_of(vu v)
{
    __m128i m = _mm_max_epu32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(m);
}

INLINE __m256i quantise_8(const float *x, vf inverse)
{
    return _mm256_cvtps_epi32(mul_f(load_f(x), inverse));
}

/* Packing works within halves of 128 bits: one permutation puts fours in order. */
INLINE void quantise_32(const float *x, float inverse, int8_t *q)
{
    const vf by = set1_f(inverse);
    const __m256i ab = _mm256_packs_epi32(quantise_8(x, by), quantise_8(x + 8, by));
    const __m256i cd = _mm256_packs_epi32(quantise_8(x + 16, by), quantise_8(x + 24, by));
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const __m256i all = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(ab, cd), order);
    _mm256_storeu_si256((__m256i *)q, all);
}

INLINE int sum_32(const int8_t *q)
{
    const __m256i ones = _mm256_set1_epi8(1);
    const __m256i bytes = _mm256_loadu_si256((const __m256i *)q);
    const __m256i pairs = _mm256_maddubs_epi16(ones, bytes);
    const __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(fours), _mm256_extracti128_si256(fours, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    return _mm_cvtsi128_si32(s);
}

#include "backend/cpu/kernels/quantise_lanes.h"

void quantise_x256_avx2(const float *x, uint32_t n, struct act_x256 *to, struct act_x256u *to_u,
                        uint32_t ld)
{
    quantise_x256(x, n, to, to_u, ld);
}

void quantise_x32_avx2(const float *x, uint32_t n, struct act_x32 *to, uint32_t ld)
{
    quantise_x32(x, n, to, ld);
}
