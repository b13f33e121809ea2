/* Arithmetic of single values that several kernels share. */
#ifndef BACKEND_CUDA_VALUES_CUH
#define BACKEND_CUDA_VALUES_CUH

#include <cuda_fp16.h>

#include "backend/cuda/ptx.cuh"

static constexpr float HALF_MAX = 65504.0f;

/* NaN stays what it is. */
DEV float bounded(float x) { return x > HALF_MAX ? HALF_MAX : x < -HALF_MAX ? -HALF_MAX : x; }
DEV uint16_t half_bits(float x) { return __half_as_ushort(__float2half_rn(bounded(x))); }

/* As the seam's enum activation; every rounding is written out, as kernels must not differ. */
DEV float activated(uint32_t activation, float x, float up)
{
    const float gelu = 0.7978845608f, alpha = 1.702f, limit = 7.0f;
    switch (activation) {
    case 1: {
        const float cube = __fmul_rn(__fmul_rn(x, x), x);
        const float inner = __fmul_rn(gelu, __fmaf_rn(0.044715f, cube, x));
        return __fmul_rn(__fmul_rn(__fmul_rn(0.5f, x), __fadd_rn(1.0f, tanhf(inner))), up);
    }
    case 2:
        x = fminf(x, limit);
        up = fminf(fmaxf(up, -limit), limit);
        return __fmul_rn(__fdiv_rn(x, __fadd_rn(1.0f, expf(__fmul_rn(-alpha, x)))),
                         __fadd_rn(up, 1.0f));
    case 3: return x > 0.0f ? __fmul_rn(x, up) : 0.0f;
    default: return __fmul_rn(__fdividef(x, __fadd_rn(1.0f, __expf(-x))), up);
    }
}

#endif
