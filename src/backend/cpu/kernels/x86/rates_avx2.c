/* Without VNNI a product of 32 bytes is vpmaddubsw, vpmaddwd and vpaddd. */
#include <immintrin.h>

#include "backend/cpu/rates.h"

enum { N_CHAINS = 8, MACS = 32 };

uint64_t rate_dot_avx2(uint64_t n_rounds)
{
    __m256i sum[N_CHAINS];
    __m256i a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(5);
    const __m256i ones = _mm256_set1_epi16(1);
    for (int i = 0; i < N_CHAINS; i++) sum[i] = _mm256_setzero_si256();
    for (uint64_t r = 0; r < n_rounds; r++)
        _Pragma("GCC unroll 8") for (int i = 0; i < N_CHAINS; i++) {
            __asm__ volatile("" : "+x"(a), "+x"(b));    /* every product is computed */
            sum[i] = _mm256_add_epi32(sum[i],
                                      _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
        }
    for (int i = 0; i < N_CHAINS; i++) __asm__ volatile("" ::"x"(sum[i]));
    return n_rounds * N_CHAINS * MACS;
}

uint64_t rate_read_avx2(const uint8_t *from, size_t n_bytes)
{
    __m256i sum[8];
    for (int i = 0; i < 8; i++) sum[i] = _mm256_setzero_si256();
    for (const uint8_t *end = from + n_bytes; from < end; from += 256)
        for (int i = 0; i < 8; i++)
            sum[i] = _mm256_xor_si256(sum[i],
                                      _mm256_loadu_si256((const __m256i *)(from + 32 * i)));
    __m256i all = _mm256_setzero_si256();
    for (int i = 0; i < 8; i++) all = _mm256_xor_si256(all, sum[i]);
    return (uint64_t)_mm256_extract_epi64(all, 0) ^ (uint64_t)_mm256_extract_epi64(all, 3);
}
