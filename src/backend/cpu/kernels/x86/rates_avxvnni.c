/* 256-bit vpdpbusd, 12 independent chains. */
#include <immintrin.h>

#include "backend/cpu/rates.h"

enum { N_CHAINS = 12, MACS = 32 };

uint64_t rate_dot_avxvnni(uint64_t n_rounds)
{
    __m256i sum[N_CHAINS];
    __m256i a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(5);
    for (int i = 0; i < N_CHAINS; i++) sum[i] = _mm256_setzero_si256();
    for (uint64_t r = 0; r < n_rounds; r++) {
        _Pragma("GCC unroll 12") for (int i = 0; i < N_CHAINS; i++)
            sum[i] = _mm256_dpbusd_avx_epi32(sum[i], a, b);
        __asm__ volatile("" : "+x"(a), "+x"(b));
    }
    for (int i = 0; i < N_CHAINS; i++) __asm__ volatile("" ::"x"(sum[i]));
    return n_rounds * N_CHAINS * MACS;
}
