/* Attention over KV pages. The step's columns are cut into items: up to 16 rows (a row is a
 * column's query head) that look at the same pages. Positions are cut into splits of SPLIT at
 * fixed places, and a row merges its splits in their order by one formula, whether its item
 * walks through all of them or each is an item of its own whose partial results are combined
 * afterwards. So how the list is cut is a matter of speed alone: bits do not depend on it. */
#ifndef BACKEND_METAL_ATTENTION_H
#define BACKEND_METAL_ATTENTION_H

#include "backend/metal/metal_internal.h"

/* What open takes, in bytes. */
uint64_t metal_attention_bytes(const struct backend_params *params);

pl_status metal_attention_open(struct metal_backend *b, pl_err *err);
void metal_attention_close(struct metal_backend *b);

/* After b->batch was set, before anything of the step is recorded. */
void metal_attention_begin(struct metal_backend *b);

void metal_attend(struct backend *b, const struct qkv_weights *w,
                  const struct attention_params *a);

#endif
