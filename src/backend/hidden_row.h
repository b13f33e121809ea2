/* Rows of X that leave a GPU's step as they are: normed by the host, and in double. There are few
 * such rows, and they go no further. No state, any thread. */
#ifndef BACKEND_HIDDEN_ROW_H
#define BACKEND_HIDDEN_ROW_H

#include <math.h>

#include "backend/backend.h"

/* x (n) in place; weight (n): the norm's, of the host. */
static inline void hidden_row_norm(float *x, const struct norm *norm, const float *weight,
                                   uint32_t n)
{
    double sum = 0, squares = 0;
    for (uint32_t i = 0; i < n && norm->is_centred; i++) sum += (double)x[i];
    const double mean = sum / n;
    for (uint32_t i = 0; i < n; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    const double scale = 1 / sqrt(squares / n + (double)norm->eps);
    for (uint32_t i = 0; i < n; i++)
        x[i] = (float)(((double)x[i] - mean) * scale * (double)weight[i]);
}

#endif
