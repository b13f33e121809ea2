#include <stdlib.h>

#include "tokenizer/merge.h"

static void sift_down(uint64_t *heap, size_t n, size_t i)
{
    const uint64_t key = heap[i];

    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n) break;
        if (child + 1 < n && heap[child + 1] < heap[child]) child++;
        if (heap[child] >= key) break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = key;
}

/* There is always room: each joining takes one entry out and puts at most two in, and there are
 * fewer joinings than symbols. */
static void heap_push(struct merge_work *w, uint64_t key)
{
    size_t i = w->n_heap++;

    while (i > 0 && w->heap[(i - 1) / 2] > key) {
        w->heap[i] = w->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->heap[i] = key;
}

static uint64_t heap_pop(struct merge_work *w)
{
    const uint64_t key = w->heap[0];
    w->heap[0] = w->heap[--w->n_heap];
    if (w->n_heap) sift_down(w->heap, w->n_heap, 0);
    return key;
}

/* Finds out anew what symbol i and the one after it become; true: they can be joined. */
static bool rank_pair(struct merge_work *w, uint32_t i, merge_pair_fn *pair, const void *arg)
{
    struct merge_symbol *s = &w->symbol[i];
    s->rank = MERGE_NONE;
    if (s->next != MERGE_NONE) s->rank = pair(arg, s, &w->symbol[s->next], &s->joined);
    return s->rank != MERGE_NONE;
}

static uint64_t heap_key(const struct merge_work *w, uint32_t i)
{
    return (uint64_t)w->symbol[i].rank << 32 | i;
}

static void join(struct merge_work *w, uint32_t i)
{
    struct merge_symbol *left = &w->symbol[i];
    struct merge_symbol *right = &w->symbol[left->next];

    left->id = left->joined;
    left->n_bytes += right->n_bytes;
    left->next = right->next;
    if (left->next != MERGE_NONE) w->symbol[left->next].prev = i;
    right->rank = MERGE_NONE; /* its entries are out of date */
}

bool merge_begin(struct merge_work *w, size_t n)
{
    w->n_symbols = 0;
    w->n_heap = 0;
    if (n <= w->capacity) return true;

    const size_t capacity = n < 256 ? 256 : n;
    merge_free(w);
    w->symbol = malloc(capacity * sizeof *w->symbol);
    w->heap = malloc(2 * capacity * sizeof *w->heap);
    if (!w->symbol || !w->heap) {
        merge_free(w);
        return false;
    }
    w->capacity = capacity;
    return true;
}

void merge_add(struct merge_work *w, size_t start, size_t n_bytes, int32_t id)
{
    const uint32_t i = (uint32_t)w->n_symbols++;

    w->symbol[i] = (struct merge_symbol){
        .start = (uint32_t)start,
        .n_bytes = (uint32_t)n_bytes,
        .prev = i ? i - 1 : MERGE_NONE,
        .next = MERGE_NONE,
        .id = id,
        .rank = MERGE_NONE,
    };
    if (i) w->symbol[i - 1].next = i;
}

void merge_run(struct merge_work *w, merge_pair_fn *pair, const void *arg)
{
    for (uint32_t i = 0; i < w->n_symbols; i++)
        if (rank_pair(w, i, pair, arg)) w->heap[w->n_heap++] = heap_key(w, i);
    for (size_t i = w->n_heap / 2; i-- > 0;) sift_down(w->heap, w->n_heap, i);

    while (w->n_heap) {
        const uint64_t key = heap_pop(w);
        const uint32_t i = (uint32_t)key;
        if (w->symbol[i].rank != (uint32_t)(key >> 32)) continue;

        join(w, i);
        if (rank_pair(w, i, pair, arg)) heap_push(w, heap_key(w, i));
        const uint32_t prev = w->symbol[i].prev;
        if (prev != MERGE_NONE && rank_pair(w, prev, pair, arg)) heap_push(w, heap_key(w, prev));
    }
}

void merge_free(struct merge_work *w)
{
    free(w->symbol);
    free(w->heap);
    *w = (struct merge_work){ 0 };
}
