/* The parts of reading hyper-parameters that are files of their own. Inside src/model only. */
#ifndef MODEL_HPARAMS_READ_H
#define MODEL_HPARAMS_READ_H

#include "model/keys.h"

/* After the dimensions are known. */
pl_status rope_params_read(struct hparams *h, const struct gguf *g, pl_err *err);

/* The dimensions of attention over latents, once the heads are known. */
pl_status latents_read(struct hparams *h, const struct gguf *g, pl_err *err);

/* The window of local layers and which they are, into the plan of the layers. */
pl_status window_read(struct hparams *h, const struct gguf *g, pl_err *err);

/* The shape of the mixers, with the dimensions; which layers have one, into the plan of the layers.
 */
pl_status mixer_dims_read(struct hparams *h, const struct gguf *g, pl_err *err);
pl_status mixers_read(struct hparams *h, const struct gguf *g, pl_err *err);

/* The plan of the layers, after all else that is common is known; h->layer is the caller's to free.
 */
pl_status layers_read(struct hparams *h, const struct gguf *g, pl_err *err);

/* Refuses a key that would change what is computed, and that nobody here reads. */
pl_status check_other_keys(const struct hparams *h, const struct gguf *g, pl_err *err);

#endif
