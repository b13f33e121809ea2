/* How tokens are picked on a GPU: what the host says of each row and what it gets back. Read by C
 * and by the kernels of every GPU: 32-bit fields alone. */
#ifndef BACKEND_ROW_PICK_ARGS_H
#define BACKEND_ROW_PICK_ARGS_H

#include "backend/kernel_words.h"

/* How a row's token is picked: struct pick, as the kernel needs it. */
struct row_pick {
    U32 kind;               /* PICK_* */
    F32 unit;               /* the random number, in [0, 1) */
    F32 scale;              /* 1 / temperature */
    U32 top_k;              /* 0: off */
    F32 top_p;              /* 1: off */
    F32 log_min_p;          /* the lowest number: off */
    F32 repetition_penalty, frequency_penalty, presence_penalty;
    I32 last;               /* as struct pick's */
    U32 n_touched;          /* of the row's row_touch */
    U32 n_top;
    U32 flags;              /* PICK_TOUCHES, PICK_WANTS_PROBS */
};

enum { PICK_BY_HOST, PICK_LARGEST, PICK_FROM_ALL, PICK_FROM_BEST };
enum { PICK_TOUCHES = 1, PICK_WANTS_PROBS = 2 };

/* As struct touch. Behind those of a row lies one for its last token. */
struct row_touch {
    I32 token;              /* -1: none */
    U32 count;
    F32 bias, logit;
};

enum { MAX_TOUCHED = 2048, MAX_TOP = 20 };

/* What a row's log-probabilities are made of, and those that are wanted. */
struct row_probs {
    F32 largest, log_sum;   /* log_sum: of exp(logit - largest) */
    F32 logprob;            /* of the token picked */
    U32 n_top;
    I32 token[MAX_TOP];
    F32 top[MAX_TOP];
};

enum { NO_LAST_TOKEN = -2147483647 - 1 };

/* Up to so many candidates are put in order before one is drawn: as many as on the CPU. */
enum { SAMPLING_THREADS = 512, MANY_CANDIDATES = 512 };

#endif
