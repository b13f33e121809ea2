#include "engine/row_select.h"

#include <float.h>
#include <stdbool.h>
#include <stddef.h>

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
