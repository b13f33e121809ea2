#include "backend/cpu/prefix_groups.h"

#include <string.h>

/* Pages that are full before the span's first column: those that other streams may have too. */
static uint32_t n_full(const struct span *s)
{
    return s->first_pos / PAGE_TOKENS;
}

/* Equal first entries of two page tables, counted in full pages. */
static uint32_t n_common(const struct span *a, const struct span *b)
{
    const uint32_t n = n_full(a) < n_full(b) ? n_full(a) : n_full(b);
    if (!n || a->page[0] != b->page[0]) return 0;
    if (!memcmp(a->page, b->page, n * sizeof *a->page)) return n;
    uint32_t i = 1;
    while (a->page[i] == b->page[i]) i++;
    return i;
}

/* The order of page tables, entry by entry; a shorter one comes first. */
static bool is_before(const struct span *a, const struct span *b)
{
    const uint32_t n = n_common(a, b);
    if (n == n_full(a) || n == n_full(b)) return n_full(a) < n_full(b);
    return a->page[n] < b->page[n];
}

/* Sorts spans into g->order by binary insertion: a step has few, and comparing is what costs. */
static void sort(struct prefix_groups *g, const struct batch *batch)
{
    for (uint32_t i = 0; i < batch->n_spans; i++) {
        uint32_t low = 0, high = i;
        while (low < high) {
            const uint32_t middle = (low + high) / 2;
            if (is_before(&batch->span[i], &batch->span[g->order[middle]])) high = middle;
            else low = middle + 1;
        }
        memmove(g->order + low + 1, g->order + low, (i - low) * sizeof *g->order);
        g->order[low] = i;
    }
}

/* A group takes its next neighbour in unless the pages it would no longer share weigh more than
 * those the neighbour shares: (n - 1) reads of n_shared pages are what a group saves. */
void prefix_groups_find(struct prefix_groups *g, const struct batch *batch)
{
    sort(g, batch);
    g->n_groups = 0;
    for (uint32_t i = 0; i < batch->n_spans; i++) {
        const struct span *span = &batch->span[g->order[i]];
        if (i) {
            struct prefix_group *last = &g->group[g->n_groups - 1];
            const uint32_t common = n_common(&batch->span[g->order[i - 1]], span) & ~1u;
            const uint32_t shared = common < last->n_shared ? common : last->n_shared;
            if (shared && (uint64_t)last->n * shared >= (uint64_t)(last->n - 1) * last->n_shared) {
                last->n_shared = shared;
                last->n++;
                continue;
            }
        }
        g->group[g->n_groups++] = (struct prefix_group){ i, 1, n_full(span) & ~1u };
    }
}
