/* How tokens are picked on the GPU: what the host says and what it gets back. Read by C and by
 * CUDA; memory of the host that the GPU reads and writes. */
#ifndef BACKEND_CUDA_SAMPLING_ARGS_H
#define BACKEND_CUDA_SAMPLING_ARGS_H

#include <stdint.h>

/* How a row's token is picked: struct pick, as the kernel needs it. */
struct row_pick {
    uint32_t kind;              /* PICK_* */
    float unit;                 /* the random number, in [0, 1) */
    float scale;                /* 1 / temperature */
    uint32_t top_k;             /* 0: off */
    float top_p;                /* 1: off */
    float log_min_p;            /* the lowest number: off */
    float repetition_penalty, frequency_penalty, presence_penalty;
    int32_t last;               /* as struct pick's */
    uint32_t n_touched;         /* of the row's row_touch */
    uint32_t n_top;
    uint32_t flags;             /* PICK_TOUCHES, PICK_WANTS_PROBS */
};

enum { PICK_BY_HOST, PICK_LARGEST, PICK_FROM_ALL, PICK_FROM_BEST };
enum { PICK_TOUCHES = 1, PICK_WANTS_PROBS = 2 };

/* As struct touch. Behind those of a row lies one for its last token. */
struct row_touch {
    int32_t token;              /* -1: none */
    uint32_t count;
    float bias, logit;
};

enum { MAX_TOUCHED = 2048, MAX_TOP = 20 };

/* What a row's log-probabilities are made of, and those that are wanted. */
struct row_probs {
    float largest, log_sum;     /* log_sum: of exp(logit - largest) */
    float logprob;              /* of the token picked */
    uint32_t n_top;
    int32_t token[MAX_TOP];
    float top[MAX_TOP];
};

enum { NO_LAST_TOKEN = -2147483647 - 1 };

/* Up to so many candidates are put in order before one is drawn: as many as on the CPU. */
enum { SAMPLING_THREADS = 512, MANY_CANDIDATES = 512 };

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
