/* Spans of a step whose streams begin with the same KV pages, so that attention reads those once
 * for all of them. Found once a step from the page tables alone. */
#ifndef BACKEND_CPU_PREFIX_GROUPS_H
#define BACKEND_CPU_PREFIX_GROUPS_H

#include "backend/backend.h"

struct prefix_group {
    uint32_t first, n;          /* spans order[first] .. order[first + n - 1] */
    uint32_t n_shared;          /* pages that all their columns see, but for windows; even */
    uint32_t n_common;          /* pages that the first span shares with the one before it */
    uint64_t saved;             /* page reads that this group and those after it save */
};

struct prefix_groups {
    uint32_t kv_group;
    uint32_t *order;            /* (max_cols) spans, neighbours by page table */
    struct prefix_group *group; /* (max_cols) */
    uint32_t n_groups;
};

/* Fills g for the batch's page tables of a KV group, the spans being at most as many as g has room
 * for. No allocation. */
void prefix_groups_find(struct prefix_groups *g, const struct batch *batch, uint32_t kv_group);

#endif
