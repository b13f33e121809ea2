#include "model/kv_groups.h"

/* The last group takes what none is left for, and keeps what the widest of them needs. */
static void add_window(struct kv_groups *groups, uint32_t window)
{
    struct kv_group *last = &groups->group[groups->n - 1];
    for (uint32_t g = 1; g < groups->n; g++)
        if (groups->group[g].window == window) return;
    if (groups->n < MAX_KV_GROUPS)
        groups->group[groups->n++] = (struct kv_group){ .window = window };
    else if (last->window < window)
        last->window = window;
}

void kv_groups_of(struct kv_groups *out, const struct hparams *h, uint32_t most_window)
{
    *out = (struct kv_groups){ .n = 1 };
    for (uint32_t i = 0; i < h->dims.n_layers; i++) {
        const uint32_t window = h->layer[i].attention.window;
        if (h->layer[i].attends && window && window <= most_window) add_window(out, window);
    }
    *out = kv_groups_part(out, h, 0, h->dims.n_layers);
}

struct kv_groups kv_groups_part(const struct kv_groups *groups, const struct hparams *h,
                                uint32_t first, uint32_t end)
{
    struct kv_groups part = *groups;
    part.n_state_layers = 0;
    for (uint32_t g = 0; g < part.n; g++) part.group[g].n_layers = part.group[g].n_other_layers = 0;
    for (uint32_t i = first; i < end; i++) {
        const struct layer_plan *l = &h->layer[i];
        struct kv_group *group = &part.group[kv_group_of(groups, l->attention.window)];
        part.n_state_layers += l->mixer.kind != MIXER_NONE;
        if (!l->attends || l->kv_of != i) continue;
        group->n_layers++;
        group->n_other_layers += l->attention.has_other_heads;
    }
    return part;
}

/* The narrowest that keeps enough. */
uint32_t kv_group_of(const struct kv_groups *groups, uint32_t window)
{
    uint32_t best = 0;
    for (uint32_t g = 1; g < groups->n && window; g++) {
        const uint32_t kept = groups->group[g].window;
        if (kept >= window && (!best || kept < groups->group[best].window)) best = g;
    }
    return best;
}
