/* Exponentials over the primitives of lanes_avx2.h or lanes_neon.h, one of which the including file
 * has included. */
#ifndef BACKEND_CPU_KERNELS_LANES_MATH_H
#define BACKEND_CPU_KERNELS_LANES_MATH_H

/* 2^x: a polynomial of degree 5 on [-1/2, 1/2] and an exact scaling in two halves, since 2^whole
 * alone may lie outside of what a float holds; relative error below 2.2e-7. Large x (and infinity)
 * gives infinity, very negative x (and -infinity) zero, NaN stays. */
INLINE vf exp2_f(vf x)
{
    const vf bounded = min_f(set1_f(200.0f), max_f(set1_f(-200.0f), x));
    const vf whole = round_f(bounded), f = sub_f(bounded, whole);
    vf y = set1_f(1.339086336e-3f);
    y = fma_f(y, f, set1_f(9.676031918e-3f));
    y = fma_f(y, f, set1_f(5.550357114e-2f));
    y = fma_f(y, f, set1_f(2.402210749e-1f));
    y = fma_f(y, f, set1_f(6.931471880e-1f));
    y = fma_f(y, f, set1_f(1.000000075f));
    const vf half = round_f(mul_f(whole, set1_f(0.5f)));
    return mul_f(mul_f(y, power_of_two(half)), power_of_two(sub_f(whole, half)));
}

INLINE vf exp_f(vf x)
{
    return exp2_f(mul_f(x, set1_f(1.44269504089f)));
}

/* cap * tanh(x / cap), as cap - 2 cap / (1 + e^(2 x / cap)): off by some 1e-7 of the cap. */
INLINE vf capped_f(vf x, float cap)
{
    const vf e = exp_f(mul_f(x, set1_f(2 / cap)));
    return sub_f(set1_f(cap), div_f(set1_f(2 * cap), add_f(set1_f(1), e)));
}

#endif
