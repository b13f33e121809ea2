/* What every backend asks of its parameters. */
#ifndef BACKEND_PARAMS_CHECK_H
#define BACKEND_PARAMS_CHECK_H

#include <inttypes.h>

#include "backend/dims_check.h"

static inline pl_status backend_params_check(const struct backend_params *p, pl_err *err)
{
    const struct dims *d = &p->dims;
    struct dims_fault fault;
    if (dims_find_fault(d, &fault))
        return pl_fail(err, PL_E_UNSUPPORTED, "%s is %" PRIu32 "; 1..%" PRIu32 " and a multiple of "
                       "%" PRIu32 " is run", fault.name, fault.value, fault.max, fault.multiple);
    if (d->n_heads % d->n_kv_heads)
        return pl_fail(err, PL_E_UNSUPPORTED, "%" PRIu32 " query heads over %" PRIu32 " KV heads; "
                       "a multiple is run", d->n_heads, d->n_kv_heads);
    if (d->mixer.n_heads && d->mixer.n_heads % d->mixer.n_key_heads)
        return pl_fail(err, PL_E_UNSUPPORTED, "%" PRIu32 " heads of a state over %" PRIu32 " of "
                       "keys; a multiple is run", d->mixer.n_heads, d->mixer.n_key_heads);
    if (p->n_tokens > d->n_vocab)
        return pl_fail(err, PL_E_PARAM,
                       "%" PRIu32 " tokens for %" PRIu32 " rows of the output head; "
                       "a row for each is wanted",
                       p->n_tokens, d->n_vocab);
    if (!p->max_cols || !p->max_outs)
        return pl_fail(err, PL_E_PARAM, "%" PRIu32 " columns and %" PRIu32 " outputs a step; at "
                       "least one of each is wanted", p->max_cols, p->max_outs);
    return PL_OK;
}

#endif
