#include "backend/cpu/prefix_groups.h"

#include <string.h>

/* Pages that are full before the span's first column: those that other streams may have too. */
static uint32_t n_full(const struct span *s)
{
    return s->first_pos / PAGE_TOKENS;
}

/* Equal first entries of two spans' page tables, counted in full pages. */
static uint32_t n_common(const struct prefix_groups *g, const struct span *a, const struct span *b)
{
    const uint32_t *page_a = a->page[g->kv_group], *page_b = b->page[g->kv_group];
    const uint32_t n = n_full(a) < n_full(b) ? n_full(a) : n_full(b);
    if (!n || page_a[0] != page_b[0]) return 0;
    if (!memcmp(page_a, page_b, n * sizeof *page_a)) return n;
    uint32_t i = 1;
    while (page_a[i] == page_b[i]) i++;
    return i;
}

/* The order of page tables, entry by entry; a shorter one comes first. */
static bool is_before(const struct prefix_groups *g, const struct span *a, const struct span *b)
{
    const uint32_t n = n_common(g, a, b);
    if (n == n_full(a) || n == n_full(b)) return n_full(a) < n_full(b);
    return a->page[g->kv_group][n] < b->page[g->kv_group][n];
}

/* Sorts spans into g->order by binary insertion: a step has few, and comparing is what costs. */
static void sort(struct prefix_groups *g, const struct batch *batch)
{
    for (uint32_t i = 0; i < batch->n_spans; i++) {
        uint32_t low = 0, high = i;
        while (low < high) {
            const uint32_t middle = (low + high) / 2;
            if (is_before(g, &batch->span[i], &batch->span[g->order[middle]])) high = middle;
            else low = middle + 1;
        }
        memmove(g->order + low + 1, g->order + low, (i - low) * sizeof *g->order);
        g->order[low] = i;
    }
}

/* The best group to begin with span i of the order, those after it having been chosen: n spans that
 * share n_shared pages save (n - 1) reads of them. */
static struct prefix_group best_group(const struct prefix_groups *g, const struct batch *batch,
                                      uint32_t i)
{
    const uint32_t n_spans = batch->n_spans;
    uint32_t n_shared = n_full(&batch->span[g->order[i]]) & ~1u;
    struct prefix_group best = {
        .first = i, .n = 1, .n_shared = n_shared, .n_common = g->group[i].n_common,
        .saved = i + 1 < n_spans ? g->group[i + 1].saved : 0,
    };
    for (uint32_t end = i + 1; end < n_spans; end++) {
        const uint32_t n_common = g->group[end].n_common;
        n_shared = n_common < n_shared ? n_common : n_shared;
        if (!n_shared) break;
        const uint64_t after = end + 1 < n_spans ? g->group[end + 1].saved : 0;
        const uint64_t saved = after + (uint64_t)(end - i) * n_shared;
        if (saved <= best.saved) continue;
        best.n = end - i + 1;
        best.n_shared = n_shared;
        best.saved = saved;
    }
    return best;
}

void prefix_groups_find(struct prefix_groups *g, const struct batch *batch, uint32_t kv_group)
{
    g->kv_group = kv_group;
    sort(g, batch);
    for (uint32_t i = 0; i < batch->n_spans; i++)
        g->group[i].n_common = i ? n_common(g, &batch->span[g->order[i - 1]],
                                            &batch->span[g->order[i]]) & ~1u : 0;
    for (uint32_t i = batch->n_spans; i-- > 0;) g->group[i] = best_group(g, batch, i);
    g->n_groups = 0;
    for (uint32_t i = 0; i < batch->n_spans; i += g->group[g->n_groups++].n)
        g->group[g->n_groups] = g->group[i];
}
