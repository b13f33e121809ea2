/* What Gemma 3n and Gemma 4 share of reading their plan. Inside src/model only. */
#ifndef MODEL_GEMMA_READ_H
#define MODEL_GEMMA_READ_H

#include "model/hparams_read.h"

static inline bool is_local_layer(const struct hparams *h, uint32_t i)
{
    return h->layer[i].attention.window != 0;
}

/* Local layers are turned by a base of their own, over heads of their own; global ones as far as
 * rope_freqs lets them. After the heads are known. */
pl_status gemma_read_ropes(struct hparams *h, const struct gguf *g, pl_err *err);

/* How wide each layer's feed-forward part is. */
pl_status gemma_read_widths(struct hparams *h, const struct gguf *g, pl_err *err);

/* The last layers read the keys and values of the last one of their kind before them. */
pl_status gemma_read_sharing(struct hparams *h, const struct gguf *g, pl_err *err);

/* Each layer's part of the token itself. */
pl_status gemma_read_inputs(struct hparams *h, const struct gguf *g, pl_err *err);

#endif
