/* Exponentials in 512-bit registers. Include it only from *_avx512.c. */
#ifndef BACKEND_CPU_KERNELS_X86_MATH_AVX512_H
#define BACKEND_CPU_KERNELS_X86_MATH_AVX512_H

#include <immintrin.h>

/* 2^x: a polynomial of degree 5 on [-1/2, 1/2] and an exact scaling; relative error below 2.2e-7.
 * x above 128 gives infinity, very negative x (and -infinity) zero; not for x = +infinity. */
static inline __attribute__((always_inline)) __m512 exp2_ps(__m512 x)
{
    const __m512 bounded = _mm512_max_ps(x, _mm512_set1_ps(-200.0f));
    const __m512 whole =
        _mm512_roundscale_ps(bounded, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 f = _mm512_sub_ps(bounded, whole);
    __m512 y = _mm512_set1_ps(1.339086336e-3f);
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(9.676031918e-3f));
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(5.550357114e-2f));
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(2.402210749e-1f));
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(6.931471880e-1f));
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(1.000000075f));
    return _mm512_scalef_ps(y, whole);
}

/* e^x for any x, infinities among them. */
static inline __attribute__((always_inline)) __m512 exp_ps(__m512 x)
{
    const __m512 bits = _mm512_mul_ps(x, _mm512_set1_ps(1.44269504089f));
    return exp2_ps(_mm512_min_ps(bits, _mm512_set1_ps(200.0f)));
}

/* cap * tanh(x / cap), as cap - 2 cap / (1 + e^(2 x / cap)): off by some 1e-7 of the cap. */
static inline __attribute__((always_inline)) __m512 capped_ps(__m512 x, float cap)
{
    const __m512 e = exp_ps(_mm512_mul_ps(x, _mm512_set1_ps(2 / cap)));
    return _mm512_sub_ps(_mm512_set1_ps(cap), _mm512_div_ps(_mm512_set1_ps(2 * cap),
                                                            _mm512_add_ps(_mm512_set1_ps(1), e)));
}

#endif
