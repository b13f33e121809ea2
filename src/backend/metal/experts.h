/* A mixture of experts. Which experts a column gets is decided on the GPU and never read by the
 * host: it records products for as many blocks of pairs as there can be, and those that do not
 * exist end at once. A column and one of its experts are a pair; a block has a few of one expert.
 */
#ifndef BACKEND_METAL_EXPERTS_H
#define BACKEND_METAL_EXPERTS_H

#include "backend/metal/metal_internal.h"

/* What open takes, in bytes; 0 for a dense model. */
uint64_t metal_experts_bytes(const struct backend_params *params);

/* b->experts stays NULL for a dense model. */
pl_status metal_experts_open(struct metal_backend *b, pl_err *err);
void metal_experts_close(struct metal_backend *b);

/* The kernels of a format, while weights are loaded. A dense model needs none. */
pl_status metal_experts_get_kernels(struct metal_backend *b, enum fragment_format format,
                                    pl_err *err);

void metal_experts_add(struct backend *b, const struct norm *norm, const struct expert_weights *w,
                       const struct ffn_params *p, const struct residual *r);

#endif
