/* Where the pages of KV groups lie in a backend's KV memory: one group after the other, of each
 * (n_pages, n_layers) times what one page takes of one layer. */
#ifndef BACKEND_KV_PLACES_H
#define BACKEND_KV_PLACES_H

#include <string.h>

#include "backend/backend.h"

struct kv_places {
    uint64_t layer_bytes;                   /* of one layer of a page */
    uint64_t page_bytes[MAX_KV_GROUPS];     /* of all layers of the group */
    uint64_t first[MAX_KV_GROUPS];          /* byte of the group's page 0 */
    uint64_t n_bytes;                       /* in all */
};

static inline struct kv_places kv_places_of(const struct kv_groups *groups, uint64_t layer_bytes)
{
    struct kv_places p = { .layer_bytes = layer_bytes };
    for (uint32_t g = 0; g < groups->n; g++) {
        p.page_bytes[g] = groups->group[g].n_layers * layer_bytes;
        p.first[g] = p.n_bytes;
        p.n_bytes += groups->group[g].n_pages * p.page_bytes[g];
    }
    return p;
}

/* Byte of a page's part of a layer. */
static inline uint64_t kv_place(const struct kv_places *p, uint32_t group, uint32_t page,
                                uint32_t layer)
{
    return p->first[group] + page * p->page_bytes[group] + layer * p->layer_bytes;
}

/* kv: the KV memory, which the host can write. */
static inline void kv_places_copy(const struct kv_places *p, void *kv, uint32_t group, uint32_t to,
                                  uint32_t from)
{
    memcpy((uint8_t *)kv + kv_place(p, group, to, 0), (uint8_t *)kv + kv_place(p, group, from, 0),
           p->page_bytes[group]);
}

#endif
