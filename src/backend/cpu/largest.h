/* The largest of n values in 16 lanes, which a compiler makes vectors of; NaN never wins. */
#ifndef BACKEND_CPU_LARGEST_H
#define BACKEND_CPU_LARGEST_H

#include <math.h>
#include <stdint.h>

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
