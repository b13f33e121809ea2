/* IEEE 754 binary16 and bfloat16 to and from binary32, exact, without hardware support. */
#include <string.h>

#include "quant/quant.h"

static float f32_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t bits_of_f32(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

float f32_of_f16(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31;
    const uint32_t fraction = h & 0x3ff;

    if (exponent == 31) return f32_of_bits(sign | 0x7f800000u | fraction << 13);
    if (exponent == 0) {        /* zero and denormals: fraction * 2^-24 is exact */
        const float x = (float)fraction * 0x1p-24f;
        return sign ? -x : x;
    }
    return f32_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

uint16_t f16_of_f32(float x)
{
    const uint32_t bits = bits_of_f32(x), magnitude = bits & 0x7fffffffu;
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);

    if (magnitude > 0x7f800000u)            /* NaN stays NaN, quiet */
        return (uint16_t)(sign | 0x7e00u | (magnitude >> 13 & 0x1ffu));
    if (magnitude >= 0x477ff000u)           /* 65520 and above round to infinity */
        return sign | 0x7c00u;
    if (magnitude < 0x38800000u) {          /* below 2^-14: a multiple of 2^-24, rounded by adding
                                             * a number whose last place is 2^-24 */
        const float sum = f32_of_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (bits_of_f32(sum) - 0x3f000000u));
    }
    const uint32_t odd = magnitude >> 13 & 1;
    return (uint16_t)(sign | (magnitude - 0x38000000u + 0xfffu + odd) >> 13);
}

float f32_of_bf16(uint16_t h)
{
    return f32_of_bits((uint32_t)h << 16);
}
