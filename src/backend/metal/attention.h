/* Attention over KV pages: the lists of attention_list.h, recorded for the GPU. */
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
