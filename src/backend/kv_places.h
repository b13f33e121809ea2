/* Where the pages of KV groups lie in a backend's KV memory: one group after the other, of each
 * n_pages times what one page takes of its layers, those with other heads last; behind them the
 * states, (n_states, n_state_layers) times the floats of one. */
#ifndef BACKEND_KV_PLACES_H
#define BACKEND_KV_PLACES_H

#include <string.h>

#include "backend/backend.h"

struct kv_places {
    uint64_t layer_bytes[2];                /* of one layer of a page; [1]: with other heads */
    uint64_t page_bytes[MAX_KV_GROUPS];     /* of all layers of the group */
    uint64_t other_at[MAX_KV_GROUPS];       /* of these, before the layers with other heads */
    uint64_t first[MAX_KV_GROUPS];          /* byte of the group's page 0 */
    uint64_t first_state;                   /* byte of state 0 */
    uint64_t state_bytes, state_layer_bytes;    /* of all its layers, of one */
    uint64_t n_bytes;                       /* in all */
};

enum { STATE_ALIGNMENT = 64 };

static inline struct kv_places kv_places_of(const struct kv_groups *groups, uint64_t layer_bytes,
                                            uint64_t other_bytes, const struct mixer_dims *mixer)
{
    struct kv_places p = { .layer_bytes = { layer_bytes, other_bytes } };
    for (uint32_t g = 0; g < groups->n; g++) {
        const uint32_t n_other = groups->group[g].n_other_layers;
        p.other_at[g] = (groups->group[g].n_layers - n_other) * layer_bytes;
        p.page_bytes[g] = p.other_at[g] + n_other * other_bytes;
        p.first[g] = p.n_bytes;
        p.n_bytes += groups->group[g].n_pages * p.page_bytes[g];
    }
    if (!groups->n_state_layers) return p;
    p.first_state = (p.n_bytes + STATE_ALIGNMENT - 1) / STATE_ALIGNMENT * STATE_ALIGNMENT;
    p.state_layer_bytes = mixer_state_floats(mixer) * sizeof(float);
    p.state_bytes = groups->n_state_layers * p.state_layer_bytes;
    p.n_bytes = p.first_state + groups->n_states * p.state_bytes;
    return p;
}

/* Byte of a page's part of a layer. */
static inline uint64_t kv_place(const struct kv_places *p, const struct attention_params *a,
                                uint32_t page)
{
    const uint64_t at = a->has_other_heads ? p->other_at[a->kv_group] : 0;
    return p->first[a->kv_group] + page * p->page_bytes[a->kv_group] + at +
           a->kv_layer * p->layer_bytes[a->has_other_heads];
}

/* The floats of a state's part of a layer; NULL of NO_STATE. kv: as below. */
static inline float *state_place(const struct kv_places *p, void *kv, uint32_t state,
                                 uint32_t layer)
{
    if (state == NO_STATE) return NULL;
    return (float *)((uint8_t *)kv + p->first_state + state * p->state_bytes +
                     layer * p->state_layer_bytes);
}

/* kv: the KV memory, which the host can write. */
static inline void kv_places_copy(const struct kv_places *p, void *kv, uint32_t group, uint32_t to,
                                  uint32_t from)
{
    uint8_t *pages = (uint8_t *)kv + p->first[group];
    memcpy(pages + to * p->page_bytes[group], pages + from * p->page_bytes[group],
           p->page_bytes[group]);
}

#endif
