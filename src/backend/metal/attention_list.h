/* The work of a step's attention, as a GPU gets it: host arithmetic, which knows no device. The
 * step's columns are cut into items: up to 16 rows (a row is a column's query head) that look at
 * the same pages. Positions are cut into splits of SPLIT at fixed places, and a row merges its
 * splits in their order by one formula, whether its item walks through all of them or each is an
 * item of its own whose partial results are combined afterwards. So how the list is cut is a matter
 * of speed alone: bits do not depend on it.
 *
 * Threads: one. */
#ifndef BACKEND_METAL_ATTENTION_LIST_H
#define BACKEND_METAL_ATTENTION_LIST_H

#include "backend/backend.h"
#include "backend/metal/op_args.h"

enum { MAX_PARTIALS = 16384 };  /* rows times splits that may be items of their own */

/* Of the layers of one window, KV group and number of query heads of a KV head. The arrays are the
 * caller's. */
struct attention_list {
    bool is_built;
    uint32_t window, kv_group, group, max_tiles;
    struct attend_item *item[MAX_ROW_TILES];    /* (max_rows) of that many row tiles */
    struct attend_row *row;                     /* (max_rows) */
    struct combine_row *combine;                /* (max_cols * group) */
    uint32_t *place;                            /* (MAX_PARTIALS) */
    uint32_t n_items[MAX_ROW_TILES], n_rows, n_combined, n_places, n_partials;
    uint64_t n_splits[MAX_ROW_TILES];           /* of the items */
};

/* What of a span is known for all lists, and what for the one that is being built. */
struct span_work {
    uint32_t page_at;               /* of its page table's copy, among those of its KV group */
    uint32_t first_split, end_split;
    uint32_t place_at;
    bool is_split, is_taken, is_alone;  /* is_alone: shares no later split's pages with others */
};

/* The spans of a step, with room to arrange them. */
struct attention_spans {
    const struct batch *batch;
    uint32_t group, max_tiles;      /* of the list that is being built */
    struct span_work *work;         /* (max_cols) of the spans */
    uint32_t *member;               /* (max_cols) */
};

/* The max_rows of a list. */
uint64_t attention_list_max_rows(uint32_t max_cols, uint32_t group);

/* A step begins: the page tables of its spans go into page[g] of each KV group, in a row. */
void attention_spans_begin(struct attention_spans *all, uint32_t *const *page,
                           uint32_t n_kv_groups);

/* Of the step's spans, for layers of that window, 0 for none. group: query heads of a KV head;
 * max_tiles: of rows that an item may have. */
void attention_list_build(struct attention_list *l, struct attention_spans *all, uint32_t window,
                          uint32_t kv_group, uint32_t group, uint32_t max_tiles);

#endif
