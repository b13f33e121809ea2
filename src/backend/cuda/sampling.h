/* Tokens picked on the GPU, where the pick is the backend's: what sampling.cu computes, for the
 * host to read once a step is done, and for the next step's columns to begin with. */
#ifndef BACKEND_CUDA_SAMPLING_H
#define BACKEND_CUDA_SAMPLING_H

#include "backend/cuda/cuda_internal.h"

/* What b->sampling is to be given: of the host's memory, which the GPU reads and writes, and of the
 * device's. */
void cuda_sampling_want_host(struct cuda_backend *b, struct workspace *w);
void cuda_sampling_want_device(struct cuda_backend *b, struct workspace *w);

/* Launches the picks of n rows of logits, max_outs at most: row i of b->logit_rows, the largest of
 * its blocks in b->largest, which may be infinite in a broken row. Picks that are the host's are
 * skipped, their token is left alone. at: the step; its picks and tokens are memory of their own,
 * so that one step's are read while the next is recorded. */
void cuda_sampling_record(struct cuda_backend *b, const struct pick *pick, uint32_t n,
                          uint32_t at);

/* (max_outs): the tokens of a step; -1: a row without a finite logit. */
const int32_t *cuda_sampling_tokens(const struct cuda_backend *b, uint32_t at);

/* All that was picked for an output of the step, which is over. */
struct picked cuda_sampling_picked(const struct cuda_backend *b, uint32_t at, uint32_t out);

#endif
