/* 12 independent chains: vpdpbusd has a latency of 4-5 cycles and issues up to twice a cycle. */
#include <immintrin.h>

#include "backend/cpu/rates.h"

enum { N_CHAINS = 12, MACS = 64 };

uint64_t rate_dot_avx512(uint64_t n_rounds)
{
    __m512i sum[N_CHAINS];
    __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5);
    for (int i = 0; i < N_CHAINS; i++) sum[i] = _mm512_setzero_si512();
    for (uint64_t r = 0; r < n_rounds; r++) {
        _Pragma("GCC unroll 12") for (int i = 0; i < N_CHAINS; i++)
            sum[i] = _mm512_dpbusd_epi32(sum[i], a, b);
        __asm__ volatile("" : "+v"(a), "+v"(b));    /* keeps the rounds apart */
    }
    for (int i = 0; i < N_CHAINS; i++) __asm__ volatile("" ::"v"(sum[i]));
    return n_rounds * N_CHAINS * MACS;
}

uint64_t rate_read_avx512(const uint8_t *from, size_t n_bytes)
{
    __m512i sum[4] = { _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                       _mm512_setzero_si512() };
    for (const uint8_t *end = from + n_bytes; from < end; from += 256)
        for (int i = 0; i < 4; i++)
            sum[i] = _mm512_xor_si512(sum[i], _mm512_loadu_si512(from + 64 * i));
    return (uint64_t)_mm512_reduce_add_epi64(
        _mm512_xor_si512(_mm512_xor_si512(sum[0], sum[1]), _mm512_xor_si512(sum[2], sum[3])));
}
