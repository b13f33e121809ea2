/* Tokens picked on the GPU. */
#ifndef BACKEND_METAL_SAMPLING_H
#define BACKEND_METAL_SAMPLING_H

#include "backend/metal/metal_internal.h"

/* Memory it takes of the device, for planning. */
uint64_t metal_sampling_bytes(const struct backend_params *params);

pl_status metal_sampling_open(struct metal_backend *b, pl_err *err);
void metal_sampling_close(struct metal_backend *b);

/* Records the picks of the first n rows of logits that are the backend's, for the step being
 * recorded. */
void metal_sampling_record(struct metal_backend *b, const struct pick *pick, uint32_t n);

/* What was picked in step `at` of METAL_STEPS: (max_outs) int32_t, -1 for a row without a finite
 * logit. For the host once the step is over, and for the step that is started after it. */
const struct metal_buffer *metal_sampling_tokens(const struct metal_backend *b, uint32_t at);

#endif
