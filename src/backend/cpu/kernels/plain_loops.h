/* Kernels that a compiler makes vectors of with the flags of the including file. */
#ifndef BACKEND_CPU_KERNELS_PLAIN_LOOPS_H
#define BACKEND_CPU_KERNELS_PLAIN_LOOPS_H

#include <math.h>
#include <stdint.h>

#include "backend/cpu/act.h"

static void take_off(const struct act_x32 *x, uint32_t ld, float *row, uint32_t n)
{
    for (uint32_t b = 0; b < n / 32; b++, x += ld, row += 32)
        for (int k = 0; k < 32; k++) row[k] = fmaf(-x->d, x->q[k], row[k]);
}

/* In 16 lanes; NaN never wins. */
static float largest(const float *x, uint32_t n)
{
    float lane[16], top = -INFINITY;
    uint32_t i = 0;
    for (int l = 0; l < 16; l++) lane[l] = -INFINITY;
    for (; i + 16 <= n; i += 16)
        for (int l = 0; l < 16; l++) lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
    for (; i < n; i++) top = x[i] > top ? x[i] : top;
    for (int l = 0; l < 16; l++) top = lane[l] > top ? lane[l] : top;
    return top;
}

#endif
