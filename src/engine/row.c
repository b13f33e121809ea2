#include "engine/row.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>

/* Plain loops, compiled once for each width of vector where the compiler can choose at load time.
 * Without fused multiply-adds (-ffp-contract=off) all versions give the same bits. */
#if defined __GLIBC__ && defined __x86_64__ && !defined __clang__ &&                              \
    !defined __SANITIZE_THREAD__ && !defined __SANITIZE_ADDRESS__
#define EVERY_WIDTH __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define EVERY_WIDTH
#endif

static inline float larger(float x, float than)
{
    return x > than ? x : than;     /* a NaN x gives `than` */
}

/* ---- largest value -------------------------------------------------------------------------- */

EVERY_WIDTH static float block_max(const float *x)
{
    float lane[ROW_LANES], max = -INFINITY;
    for (int l = 0; l < ROW_LANES; l++) lane[l] = -INFINITY;
    for (int i = 0; i < ROW_BLOCK; i += ROW_LANES)
        for (int l = 0; l < ROW_LANES; l++) lane[l] = larger(x[i + l], lane[l]);
    for (int l = 0; l < ROW_LANES; l++) max = larger(lane[l], max);
    return max;
}

void row_measure_block(const struct row *row, uint32_t i)
{
    const uint32_t first = i * ROW_BLOCK, n_left = row->n - first;
    float max = -INFINITY;
    if (n_left >= ROW_BLOCK) {
        row->largest[i] = block_max(row->x + first);
        return;
    }
    for (uint32_t k = first; k < row->n; k++) max = larger(row->x[k], max);
    row->largest[i] = max;
}

static struct row_max find_max(const struct row *row)
{
    struct row_max m = { -INFINITY, -1 };
    uint32_t at = 0;
    for (uint32_t i = 0; i < row_n_blocks(row->n); i++)
        if (row->largest[i] > m.value) {
            m.value = row->largest[i];
            at = i * ROW_BLOCK;
        }
    if (m.value > -INFINITY) {
        while (!(row->x[at] == m.value)) at++;
        m.token = (int32_t)at;
    }
    return m;
}

struct row_max row_max(const struct row *row)
{
    const struct row_max m = find_max(row);
    if (m.value <= FLT_MAX) return m;
    for (uint32_t i = 0; i < row->n; i++)
        if (!(fabsf(row->x[i]) <= FLT_MAX)) row->x[i] = -INFINITY;
    for (uint32_t i = 0; i < row_n_blocks(row->n); i++) row_measure_block(row, i);
    return find_max(row);
}

/* ---- exponentials --------------------------------------------------------------------------- */

/* 2^k e^f with k the nearest integer to x / ln 2 and |f| <= ln 2 / 2, where eight terms of the
 * series leave less than 2^-27. ln 2 is split so that k times its first part is exact. */
static inline float exp_not_above_0(float x)
{
    const float at_least = x >= -87.0f ? x : -87.0f;    /* also where x is NaN */
    const float magic = 0x1.8p23f;                      /* rounds to an integer when added */
    const float k = (at_least * 1.44269504f + magic) - magic;
    const float f = (at_least - k * 0.693359375f) + k * 2.12194440e-4f;
    float p = 1.0f / 5040;
    p = p * f + 1.0f / 720;
    p = p * f + 1.0f / 120;
    p = p * f + 1.0f / 24;
    p = p * f + 1.0f / 6;
    p = p * f + 0.5f;
    p = p * f + 1.0f;
    p = p * f + 1.0f;
    const union {
        int32_t bits;
        float value;
    } power = { .bits = ((int32_t)k + 127) * (1 << 23) };
    return x >= -87.0f ? p * power.value : 0;
}

float row_exp(float x)
{
    return exp_not_above_0(x);
}

EVERY_WIDTH static float block_sum_exp(const float *x, float max, float scale)
{
    float lane[ROW_LANES] = { 0 }, sum = 0;
    for (int i = 0; i < ROW_BLOCK; i += ROW_LANES)
        for (int l = 0; l < ROW_LANES; l++)
            lane[l] += exp_not_above_0((x[i + l] - max) * scale);
    for (int l = 0; l < ROW_LANES; l++) sum += lane[l];
    return sum;
}

static double sum_of_block(const float *row, uint32_t n, uint32_t first, float max, float scale)
{
    if (n - first >= ROW_BLOCK) return (double)block_sum_exp(row + first, max, scale);
    double sum = 0;
    for (uint32_t i = first; i < n; i++) sum += (double)exp_not_above_0((row[i] - max) * scale);
    return sum;
}

double row_sum_exp(const float *row, uint32_t n, float max, float scale)
{
    double sum = 0;
    for (uint32_t first = 0; first < n; first += ROW_BLOCK)
        sum += sum_of_block(row, n, first, max, scale);
    return sum;
}

/* The last token of a block with any weight before the sum reached target, or -1. */
static int32_t find_in_block(const float *row, uint32_t first, uint32_t end, float max, float scale,
                             double *left)
{
    int32_t last = -1;
    for (uint32_t i = first; i < end; i++) {
        const double weight = (double)exp_not_above_0((row[i] - max) * scale);
        if (weight > 0) last = (int32_t)i;
        *left -= weight;
        if (*left < 0) return last;
    }
    return last;
}

int32_t row_find(const float *row, uint32_t n, float max, float scale, double target)
{
    int32_t last = -1;
    for (uint32_t first = 0; first < n; first += ROW_BLOCK) {
        const double sum = sum_of_block(row, n, first, max, scale);
        if (sum <= 0) continue;
        if (sum <= target) {        /* the usual case, where nothing is looked at twice */
            target -= sum;
            last = (int32_t)first;
            continue;
        }
        const uint32_t end = n - first < ROW_BLOCK ? n : first + ROW_BLOCK;
        return find_in_block(row, first, end, max, scale, &target);
    }
    if (last < 0) return -1;
    const uint32_t end = n - (uint32_t)last < ROW_BLOCK ? n : (uint32_t)last + ROW_BLOCK;
    target = INFINITY;
    return find_in_block(row, (uint32_t)last, end, max, scale, &target);
}
