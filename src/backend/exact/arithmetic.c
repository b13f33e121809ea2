/* Sums, norms and caps, in double and in orders that shapes alone give. */
#include <math.h>

#include "backend/exact/exact_internal.h"

static double total(const double part[8])
{
    return ((part[0] + part[4]) + (part[2] + part[6])) +
           ((part[1] + part[5]) + (part[3] + part[7]));
}

double exact_dot(const float *a, const float *b, uint32_t n)
{
    double part[8] = { 0 };
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++) part[k] += (double)a[i + k] * (double)b[i + k];
    for (; i < n; i++) part[i % 8] += (double)a[i] * (double)b[i];
    return total(part);
}

double exact_mean(const float *x, uint32_t n)
{
    double part[8] = { 0 };
    for (uint32_t i = 0; i < n; i++) part[i % 8] += (double)x[i];
    return total(part) / n;
}

double exact_squares(const float *x, double mean, uint32_t n)
{
    double part[8] = { 0 };
    for (uint32_t i = 0; i < n; i++)
        part[i % 8] += ((double)x[i] - mean) * ((double)x[i] - mean);
    return total(part);
}

void exact_normed(const float *x, const struct norm *norm, float *out)
{
    const uint32_t n = norm->weight->n;
    const double mean = norm->is_centred ? exact_mean(x, n) : 0;
    const double scale = 1 / sqrt(exact_squares(x, mean, n) / n + (double)norm->eps);
    for (uint32_t i = 0; i < n; i++)
        out[i] = (float)(((double)x[i] - mean) * scale * (double)norm->weight->values[i]);
}

double exact_capped(double x, float cap)
{
    return cap == 0 ? x : (double)cap * tanh(x / (double)cap);
}
