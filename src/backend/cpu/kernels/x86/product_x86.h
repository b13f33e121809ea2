/* Primitives of product_rows.h in 256-bit registers; the including file adds dot_us and dot_q8.
 * Include it only from *_avx2.c and *_avxvnni.c. */
#include <immintrin.h>
#include <string.h>

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/x86/lanes_avx2.h"
#include "backend/cpu/panels/panel_layout.h"
#include "quant/blocks.h"

enum { ROWS = 8, PRODUCT_GROUP = 4 };   /* 4 columns: three sets of accumulators in 16 registers */
enum { FLOAT_GROUP = 6 };               /* two sets */
typedef __m256i vi;

INLINE vi zero(void) { return _mm256_setzero_si256(); }
INLINE vi set1(int32_t x) { return _mm256_set1_epi32(x); }
INLINE vi add(vi a, vi b) { return _mm256_add_epi32(a, b); }
INLINE vi mul(vi a, vi b) { return _mm256_mullo_epi32(a, b); }
INLINE vi shl(vi a, const int n) { return _mm256_slli_epi32(a, n); }
INLINE vi load_lines(const uint8_t *p) { return _mm256_load_si256((const __m256i *)p); }

INLINE int32_t four_bytes(const void *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE vi low_nibbles(vi v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }
INLINE vi high_nibbles(vi v) { return low_nibbles(_mm256_srli_epi16(v, 4)); }

INLINE vi codebook(vi v, const int8_t quanta[16], const int add)
{
    const __m128i table =
        _mm_add_epi8(_mm_loadu_si128((const __m128i *)quanta), _mm_set1_epi8((char)add));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), v);
}

INLINE vi with_bit(vi v, vi bits, const int g)
{
    const vi moved = g < 4 ? _mm256_slli_epi16(bits, 4 - g) : _mm256_srli_epi16(bits, g - 4);
    return _mm256_or_si256(v, _mm256_and_si256(moved, _mm256_set1_epi8(16)));
}

/* six bits of two's complement: flip the sign bit and take 32 off */
INLINE vi quanta_q6(vi high, vi low, const int g)
{
    const vi top = g == 0 ? _mm256_srli_epi16(high, 2)
                 : g == 1 ? high
                 : g == 2 ? _mm256_slli_epi16(high, 2) : _mm256_slli_epi16(high, 4);
    const vi six = _mm256_or_si256(_mm256_and_si256(top, _mm256_set1_epi8(0x30)),
                                   g % 2 ? high_nibbles(low) : low_nibbles(low));
    const vi sign = _mm256_set1_epi8(32);
    return _mm256_sub_epi8(_mm256_xor_si256(six, sign), sign);
}

INLINE vi widen_u8(const uint8_t *p)
{
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
}

INLINE vi widen_s8(const int8_t *p)
{
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p));
}

INLINE vi dot_pairs(vi acc, const uint8_t *pairs, const int16_t *sums)
{
    const vi wide = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)pairs));
    return add(acc, _mm256_madd_epi16(wide, set1(four_bytes(sums))));
}

INLINE vi high_halves(vi a) { return _mm256_and_si256(a, set1((int32_t)0xffff0000)); }
INLINE vf to_float(vi a) { return _mm256_cvtepi32_ps(a); }
INLINE vf float_of_bits(vi a) { return _mm256_castsi256_ps(a); }
