/* Experts in groups, of which a column may choose from some: what both backends of plain C do. */
#ifndef BACKEND_EXPERT_GROUPS_H
#define BACKEND_EXPERT_GROUPS_H

#include <math.h>

#include "backend/backend.h"

/* Experts are ranked by their scores alone: their softmax has the same order. */
static inline bool router_ranks_scores(const struct router_params *p, const struct vector *bias)
{
    return p->score == ROUTER_SOFTMAX && !bias && p->n_groups <= 1;
}

/* The two highest of n ranks together, or the highest alone. */
static inline float expert_group_rank(const float *rank, uint32_t n, bool is_by_best)
{
    float first = -INFINITY, second = -INFINITY;
    for (uint32_t i = 0; i < n; i++) {
        if (rank[i] > first) {
            second = first;
            first = rank[i];
        } else if (rank[i] > second) {
            second = rank[i];
        }
    }
    return is_by_best ? first : first + second;
}

/* rank: (n_experts). Those of groups that are left out become minus infinity. */
static inline void expert_groups_drop(const struct router_params *p, float *rank,
                                      uint32_t n_experts)
{
    float of_group[MAX_EXPERT_GROUPS];
    uint32_t kept = 0;
    if (p->n_groups <= 1) return;
    const uint32_t n = n_experts / p->n_groups;
    for (uint32_t g = 0; g < p->n_groups; g++) 
        of_group[g] = expert_group_rank(rank + g * n, n, p->ranks_by_best);
    for (uint32_t i = 0; i < p->n_groups_used; i++) {
        uint32_t best = MAX_EXPERT_GROUPS;
        for (uint32_t g = 0; g < p->n_groups; g++)
            if (!(kept >> g & 1) && (best == MAX_EXPERT_GROUPS || of_group[g] > of_group[best]))
                best = g;
        kept |= 1u << best;
    }
    for (uint32_t e = 0; e < p->n_groups * n; e++)
        if (!(kept >> (e / n) & 1)) rank[e] = -INFINITY;
}

#endif
