/* Which layers of a model share KV pages: those that look back equally far. */
#ifndef MODEL_KV_GROUPS_H
#define MODEL_KV_GROUPS_H

#include "model/model.h"

/* Group 0 for the layers that see everything, and those whose window is above `most_window`; one
 * for each other window, or for several where there are more of them than groups. How many pages
 * each has is the caller's to say. */
void kv_groups_of(struct kv_groups *out, const struct hparams *h, uint32_t most_window);

/* The same groups with the layers [first, end) alone. */
struct kv_groups kv_groups_part(const struct kv_groups *groups, const struct hparams *h,
                                uint32_t first, uint32_t end);

/* The group that a layer of this window is in. A layer that reads another's keys and values has
 * none of its own, and is counted nowhere. */
uint32_t kv_group_of(const struct kv_groups *groups, uint32_t window);

#endif
