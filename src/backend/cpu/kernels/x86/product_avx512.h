/* What the AVX-512 product files share: small helpers, and one function per column count made from
 * one body, so that accumulators live in registers. Include it only from *_avx512.c. */
#ifndef BACKEND_CPU_KERNELS_X86_PRODUCT_AVX512_H
#define BACKEND_CPU_KERNELS_X86_PRODUCT_AVX512_H

#include <immintrin.h>
#include <string.h>

#include "backend/cpu/kernels/inlining.h"
#include "backend/cpu/kernels.h"

/* A product body is body(format, panel, n_k, x, ld, out, ld_out, n_cols, fetch, ahead_bytes) with
 * constant format, n_cols and fetch: without fetch it contains no prefetch at all. */
#define DEFINE_PRODUCT_N(name, body, format, n)                                                    \
    static __attribute__((noinline)) void name##_##n(const uint8_t *panel, uint32_t n_k,           \
                                                     const void *x, uint32_t ld, float *out,       \
                                                     size_t ld_out, size_t ahead_bytes)            \
    {                                                                                              \
        if (ahead_bytes)                                                                           \
            body(format, panel, n_k, x, ld, out, ld_out, n, true, ahead_bytes);                    \
        else                                                                                       \
            body(format, panel, n_k, x, ld, out, ld_out, n, false, 0);                             \
    }

/* Defines the product_fn `name`. */
#define DEFINE_PRODUCT(name, body, format)                                                         \
    DEFINE_PRODUCT_N(name, body, format, 1)                                                        \
    DEFINE_PRODUCT_N(name, body, format, 2)                                                        \
    DEFINE_PRODUCT_N(name, body, format, 3)                                                        \
    DEFINE_PRODUCT_N(name, body, format, 4)                                                        \
    DEFINE_PRODUCT_N(name, body, format, 5)                                                        \
    DEFINE_PRODUCT_N(name, body, format, 6)                                                        \
    DEFINE_PRODUCT_N(name, body, format, 7)                                                        \
    DEFINE_PRODUCT_N(name, body, format, 8)                                                        \
    DEFINE_PRODUCT_N(name, body, format, 9)                                                        \
    DEFINE_PRODUCT_N(name, body, format, 10)                                                       \
    DEFINE_PRODUCT_N(name, body, format, 11)                                                       \
    DEFINE_PRODUCT_N(name, body, format, 12)                                                       \
    static void name(const uint8_t *panel, uint32_t n_k, const void *x, uint32_t ld, float *out,   \
                     size_t ld_out, uint32_t n_cols, size_t ahead_bytes)                           \
    {                                                                                              \
        typedef void product_n_fn(const uint8_t *, uint32_t, const void *, uint32_t, float *,      \
                                  size_t, size_t);                                                 \
        static product_n_fn *const by_cols[MAX_PRODUCT_COLS] = {                                   \
            name##_1, name##_2, name##_3, name##_4,  name##_5,  name##_6,                          \
            name##_7, name##_8, name##_9, name##_10, name##_11, name##_12,                         \
        };                                                                                         \
        by_cols[n_cols - 1](panel, n_k, x, ld, out, ld_out, ahead_bytes);                          \
    }

INLINE __m512i broadcast4(const void *four_bytes)
{
    int v;
    memcpy(&v, four_bytes, sizeof v);
    return _mm512_set1_epi32(v);
}

/* (a & mask) | b */
INLINE __m512i and_or(__m512i a, __m512i mask, __m512i b)
{
    return _mm512_ternarylogic_epi32(a, mask, b, 0xea);
}

/* a where mask is set, else b */
INLINE __m512i pick(__m512i mask, __m512i a, __m512i b)
{
    return _mm512_ternarylogic_epi32(mask, a, b, 0xca);
}

/* Bit `from` of every byte moved to bit `to`, the rest zero: one bit-matrix product. */
INLINE __m512i move_bit(__m512i bytes, const int from, const int to)
{
    return _mm512_gf2p8affine_epi64_epi8(bytes, _mm512_set1_epi64(1ll << (from + 8 * (7 - to))), 0);
}

INLINE __m512 load_halves(const uint16_t *halves)
{
    return _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)halves));
}

/* Fetches n lines of the next panel into the first-level cache. */
INLINE void fetch_lines(const uint8_t *at, const int n)
{
    for (int i = 0; i < n; i++) _mm_prefetch((const char *)at + i * 64, _MM_HINT_T0);
}

#endif
