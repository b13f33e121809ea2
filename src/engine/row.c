#include "engine/row.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>

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

/* ---- selection ------------------------------------------------------------------------------ */

static uint32_t gather_block(const float *row, uint32_t first, uint32_t end, float least,
                             struct candidate *out)
{
    uint32_t n = 0;
    for (uint32_t i = first; i < end; i++) {
        if (row[i] >= least) out[n++] = (struct candidate){ row[i], (int32_t)i };
    }
    return n;
}

uint32_t row_gather(const struct row *row, float least, struct candidate *out)
{
    uint32_t n_out = 0;
    if (!(least >= -FLT_MAX)) least = -FLT_MAX;
    for (uint32_t i = 0; i < row_n_blocks(row->n); i++) {
        const uint32_t first = i * ROW_BLOCK, n_left = row->n - first;
        if (row->largest[i] < least) continue;
        n_out += gather_block(row->x, first, first + (n_left < ROW_BLOCK ? n_left : ROW_BLOCK),
                              least, out + n_out);
    }
    return n_out;
}

static inline bool is_better(struct candidate a, struct candidate b)
{
    return a.value > b.value || (a.value == b.value && a.token < b.token);
}

/* Lets c[i] sink in a heap of n whose top is the best, or the worst. */
static inline void sink(struct candidate *c, uint32_t n, uint32_t i, bool best_first)
{
    const struct candidate moving = c[i];
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= n) break;
        if (child + 1 < n && is_better(c[child + 1], c[child]) == best_first) child++;
        if (is_better(c[child], moving) != best_first) break;
        c[i] = c[child];
        i = child;
    }
    c[i] = moving;
}

struct heap heap_open(struct candidate *c, uint32_t n)
{
    for (uint32_t i = n / 2; i-- > 0;) sink(c, n, i, true);
    return (struct heap){ .c = c, .n_left = n };
}

const struct candidate *heap_next(struct heap *h)
{
    if (h->n_left == 0) return NULL;
    struct candidate *to = &h->c[--h->n_left];
    const struct candidate best = h->c[0];
    h->c[0] = *to;
    *to = best;
    if (h->n_left) sink(h->c, h->n_left, 0, true);
    return to;
}

/* Keeps the k best of the values that are at least `least`, the worst of them on top. maxima of the
 * blocks: NULL, or known; a block none of whose values can enter costs nothing more. */
static uint32_t keep_best(const float *row, uint32_t n, uint32_t k, float least,
                          const float *maxima, struct candidate *c)
{
    uint32_t n_kept = 0;
    for (uint32_t first = 0; first < n; first += ROW_BLOCK) {
        if (maxima && maxima[first / ROW_BLOCK] < least) continue;
        const uint32_t end = n - first < ROW_BLOCK ? n : first + ROW_BLOCK;
        for (uint32_t i = first; i < end; i++) {
            if (!(row[i] >= least)) continue;
            const struct candidate x = { row[i], (int32_t)i };
            if (n_kept < k) {
                c[n_kept++] = x;
                if (n_kept == k)
                    for (uint32_t j = k / 2; j-- > 0;) sink(c, k, j, false);
            } else if (x.value > c[0].value) {  /* an equal one has the larger token */
                c[0] = x;
                sink(c, k, 0, false);
            }
        }
    }
    if (n_kept < k)
        for (uint32_t j = n_kept / 2; j-- > 0;) sink(c, n_kept, j, false);
    return n_kept;
}

/* With at least k blocks, no value below the k-th largest of their maxima can be among the k best:
 * then little more than k blocks are looked into. */
static uint32_t keep_best_of_row(const struct row *row, uint32_t k, struct candidate *c)
{
    const uint32_t n_blocks = row_n_blocks(row->n);
    float least = -FLT_MAX;
    if (k <= n_blocks && keep_best(row->largest, n_blocks, k, least, NULL, c) == k)
        least = c[0].value;
    return keep_best(row->x, row->n, k, least, row->largest, c);
}

uint32_t row_top(const struct row *row, uint32_t k, struct candidate *out)
{
    if (k == 0) return 0;
    const uint32_t n_kept = keep_best_of_row(row, k < row->n ? k : row->n, out);
    for (uint32_t left = n_kept; left > 1; left--) {    /* heap sort: the worst goes to the end */
        const struct candidate worst = out[0];
        out[0] = out[left - 1];
        out[left - 1] = worst;
        sink(out, left - 1, 0, false);
    }
    return n_kept;
}
