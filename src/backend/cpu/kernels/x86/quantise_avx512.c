/* Activation quantising, AVX-512 with VNNI.
 *
 * One pass for the integer maximum of |x| (NaN and infinity order above all numbers, so the check
 * for unusable values costs nothing), one division, one pass of multiply, convert and narrow. */
#include "backend/cpu/kernels/quantise.h"

#include <immintrin.h>

/* What a block is divided by and multiplied with. */
struct block_scale {
    float d;
    __m512 inverse;
};

static inline uint32_t top_bits(const float *x, const int n_parts)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    __m512i top = _mm512_setzero_si512();

    for (int i = 0; i < n_parts; i++)
        top = _mm512_max_epu32(top, _mm512_and_si512(_mm512_loadu_si512(x + 16 * i), magnitude));
    return _mm512_reduce_max_epu32(top);
}

static inline struct block_scale scale_of(uint32_t bits)
{
    float top;

    memcpy(&top, &bits, sizeof top);
    if (top < QUANTISE_MIN) top = 0;
    return (struct block_scale){ top / 127.0f, _mm512_set1_ps(top > 0 ? 127.0f / top : 0) };
}

static inline __m512i quantise16(const float *x, __m512 inverse)
{
    return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), inverse));
}

/* Sums of the 8 groups of 32 bytes. vpdpbusd with ones adds fours; two transposing adds and one
 * swap of lanes finish all eight groups at once: 0 2 4 6 in lane 0, 1 3 5 7 in lane 2. */
static inline __m128i group_sums(const __m512i q[4])
{
    const __m512i ones = _mm512_set1_epi8(1), zero = _mm512_setzero_si512();
    __m512i s[4];

    for (int i = 0; i < 4; i++) s[i] = _mm512_dpbusd_epi32(zero, ones, q[i]);
    const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(s[0], s[1]),
                                        _mm512_unpackhi_epi32(s[0], s[1]));
    const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(s[2], s[3]),
                                        _mm512_unpackhi_epi32(s[2], s[3]));
    __m512i t = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    t = _mm512_add_epi32(t, _mm512_shuffle_i32x4(t, t, _MM_SHUFFLE(2, 3, 0, 1)));
    const __m128i even = _mm512_castsi512_si128(t), odd = _mm512_extracti32x4_epi32(t, 2);
    return _mm_packs_epi32(_mm_unpacklo_epi32(even, odd), _mm_unpackhi_epi32(even, odd));
}

static inline __m512i quantise64(const float *x, __m512 inverse)
{
    const __m128i a = _mm512_cvtsepi32_epi8(quantise16(x, inverse));
    const __m128i b = _mm512_cvtsepi32_epi8(quantise16(x + 16, inverse));
    const __m128i c = _mm512_cvtsepi32_epi8(quantise16(x + 32, inverse));
    const __m128i d = _mm512_cvtsepi32_epi8(quantise16(x + 48, inverse));
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_set_m128i(b, a)),
                              _mm256_set_m128i(d, c), 1);
}

static void quantise_block_256(const float *x, struct act_x256 *to, struct act_x256u *to_u)
{
    float clean[256];
    uint32_t bits = top_bits(x, 16);
    __m512i q[4];

    if (bits > quantise_max_bits()) {
        quantise_clean(x, 256, clean);
        x = clean;
        bits = top_bits(x, 16);
    }
    const struct block_scale scale = scale_of(bits);
    for (int i = 0; i < 4; i++) q[i] = quantise64(x + 64 * i, scale.inverse);
    if (to) {
        for (int i = 0; i < 4; i++) _mm512_storeu_si512(to->q + 64 * i, q[i]);
        _mm_storeu_si128((__m128i *)to->sum32, group_sums(q));
        to->d = scale.d;
    }
    if (to_u) {
        const __m512i bias = _mm512_set1_epi8((char)0x80);
        for (int i = 0; i < 4; i++)
            _mm512_storeu_si512(to_u->u + 64 * i, _mm512_xor_si512(q[i], bias));
        to_u->d = scale.d;
    }
}

void quantise_x256_avx512(const float *x, uint32_t n, struct act_x256 *to, struct act_x256u *to_u,
                          uint32_t ld)
{
    for (size_t b = 0; b < n / 256; b++)
        quantise_block_256(x + 256 * b, to ? to + b * ld : NULL, to_u ? to_u + b * ld : NULL);
}

void quantise_x32_avx512(const float *x, uint32_t n, struct act_x32 *to, uint32_t ld)
{
    for (uint32_t b = 0; b < n / 32; b++, x += 32, to += ld) {
        const float *from = x;
        float clean[32];
        uint32_t bits = top_bits(x, 2);
        if (bits > quantise_max_bits()) {
            quantise_clean(x, 32, clean);
            from = clean;
            bits = top_bits(from, 2);
        }
        const struct block_scale scale = scale_of(bits);
        const __m512i q0 = quantise16(from, scale.inverse);
        const __m512i q1 = quantise16(from + 16, scale.inverse);
        const int sum = _mm512_reduce_add_epi32(_mm512_add_epi32(q0, q1));
        _mm_storeu_si128((__m128i *)to->q, _mm512_cvtsepi32_epi8(q0));
        _mm_storeu_si128((__m128i *)(to->q + 16), _mm512_cvtsepi32_epi8(q1));
        to->d = scale.d;
        to->start = -128 * sum;
        to->d_sum = to->d * (float)sum;
    }
}
