/* Panel products, AVX2: vpmaddubsw adds pairs of unsigned * signed bytes in 16 bits, saturating, so
 * every use below stays within 32767: 31 * 127 * 2, 255 * 32 * 2, 128 * 127 * 2. */
#include "backend/cpu/kernels/x86/product_x86.h"
#include "backend/cpu/kernels/quantise.h"

INLINE vi dot_bytes(vi acc, vi u, vi s)
{
    return add(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(u, s), _mm256_set1_epi16(1)));
}

INLINE vi dot_us(vi acc, vi w, int32_t x) { return dot_bytes(acc, w, set1(x)); }
INLINE vi dot_q6(vi acc, vi w, int32_t x) { return dot_bytes(acc, set1(x), w); }

/* The stored byte is q + 128; |q| goes on the unsigned side and x takes q's sign. */
INLINE vi dot_q8(vi acc, vi w, int32_t x)
{
    const vi q = _mm256_xor_si256(w, _mm256_set1_epi8((char)0x80));
    return dot_bytes(acc, _mm256_abs_epi8(q), _mm256_sign_epi8(set1(x), q));
}

#define START_Q8(start) zero()
#define START_Q6(start) _mm256_loadu_si256((const __m256i *)(start))

#include "backend/cpu/kernels/product_rows.h"

void cpu_product_avx2(struct cpu_kernels *k)
{
    set_products(k);
    k->quantise_x256 = quantise_x256_avx2;
    k->quantise_x32 = quantise_x32_avx2;
}
