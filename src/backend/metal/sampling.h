/* Tokens picked on the GPU, where the pick is the backend's: what sampling.metal and probs.metal
 * compute, for the host to read once a step is done, and for the next step's columns to begin with.
 */
#ifndef BACKEND_METAL_SAMPLING_H
#define BACKEND_METAL_SAMPLING_H

#include "backend/metal/metal_internal.h"

/* What open takes, in bytes. */
uint64_t metal_sampling_bytes(const struct backend_params *params);

pl_status metal_sampling_open(struct metal_backend *b, pl_err *err);
void metal_sampling_close(struct metal_backend *b);

/* Records the picks of n rows of logits, max_outs at most: row i of b->logit_rows, the largest of
 * its blocks in b->largest, which may be infinite in a broken row. Picks that are the host's are
 * skipped, their token is left alone. at: the step, below METAL_STEPS; its picks and tokens are
 * memory of their own, so that one step's are read while the next is recorded. */
void metal_sampling_record(struct metal_backend *b, const struct pick *pick, uint32_t n,
                           uint32_t at);

/* (max_outs) int32: the tokens; -1: a row without a finite logit. */
const struct metal_buffer *metal_sampling_tokens(const struct metal_backend *b, uint32_t at);

/* All that was picked for an output of the step, which is over. */
struct picked metal_sampling_picked(const struct metal_backend *b, uint32_t at, uint32_t out);

#endif
