/* Cutting text into the pieces in which bytes are joined, by the patterns of the model's family.
 * Read-only once open: any thread. */
#ifndef TOKENIZER_PRETOKENISE_H
#define TOKENIZER_PRETOKENISE_H

#include "base/status.h"
#include "tokenizer/patterns.h"

struct pretokeniser {
    const struct pattern_family *family;
    struct pcre2_real_code_8 *stage[MAX_STAGES];
    unsigned n_stages;
};

/* name: the value of tokenizer.ggml.pre. PL_E_UNSUPPORTED: not one of those in patterns.c. */
pl_status pretokeniser_open(struct pretokeniser *p, const char *name, size_t n, pl_err *err);
void pretokeniser_close(struct pretokeniser *p);
size_t pretokeniser_n_bytes(const struct pretokeniser *p);

typedef pl_status piece_fn(void *arg, const char *piece, size_t n, pl_err *err);

/* Calls fn for each piece, in order; together they are the text. The patterns see well-formed
 * UTF-8 only: a run of bytes that form no character is a piece of its own, and what stands before
 * and after it is cut as if the text ended and began there. */
pl_status pretokeniser_split(const struct pretokeniser *p, const char *text, size_t n, piece_fn *fn,
                             void *arg, pl_err *err);

#endif
