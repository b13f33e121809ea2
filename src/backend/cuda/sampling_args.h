/* What the kernels that pick tokens are told. Read by C and by CUDA. */
#ifndef BACKEND_CUDA_SAMPLING_ARGS_H
#define BACKEND_CUDA_SAMPLING_ARGS_H

#include "backend/row_pick_args.h"

struct sampling_args {
    uint32_t *logits;           /* (n_rows, ld_vocab) floats, as bits */
    const uint32_t *largest;    /* (n_rows, n_blocks) likewise */
    const struct row_pick *pick;        /* (n_rows) */
    struct row_touch *touch;            /* (n_rows, max_touched + 1) */
    struct row_probs *probs;            /* (n_rows) */
    int32_t *token;                     /* (n_rows) what is picked */
    const int32_t *picked;              /* by the step before */
    float *block_sum;                   /* (n_rows, n_blocks) the kernel's own */
    uint32_t n_rows, n_vocab, ld_vocab, n_blocks, max_touched, unused;
};

#endif
