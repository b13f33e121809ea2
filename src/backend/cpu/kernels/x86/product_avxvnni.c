/* Panel products, AVX-VNNI: 256-bit vpdpbusd, which does not saturate. */
#include "backend/cpu/kernels/x86/product_x86.h"

INLINE vi dot_us(vi acc, vi w, int32_t x) { return _mm256_dpbusd_avx_epi32(acc, w, set1(x)); }
INLINE vi dot_q6(vi acc, vi w, int32_t x) { return _mm256_dpbusd_avx_epi32(acc, set1(x), w); }
INLINE vi dot_q8(vi acc, vi w, int32_t x) { return dot_us(acc, w, x); }

#define START_Q8(start) set1(start)
#define START_Q6(start) _mm256_loadu_si256((const __m256i *)(start))

#include "backend/cpu/kernels/product_rows.h"

void cpu_product_avxvnni(struct cpu_kernels *k)
{
    set_products(k);
}
