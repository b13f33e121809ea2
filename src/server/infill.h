/* Prompts that fill in the middle: what stands before and after it, between the tokens that a model
 * was trained with for that. */
#ifndef SERVER_INFILL_H
#define SERVER_INFILL_H

#include <jansson.h>

#include "paceline.h"

struct infill {
    const json_t *prefix, *suffix;  /* strings */
    const json_t *middle;           /* a string: how the middle begins; NULL: not known */
    const json_t *extra;            /* [{"text", "filename"}]: other files, or NULL */
};

/* The prompt's tokens, released by the caller whatever comes. PL_E_PARAM: the vocabulary has no
 * such tokens. Any thread. */
pl_status infill_tokens(const pl_engine *engine, const struct infill *in, pl_tokens *out,
                        pl_err *err);

#endif
