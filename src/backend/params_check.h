/* What every backend asks of its parameters. */
#ifndef BACKEND_PARAMS_CHECK_H
#define BACKEND_PARAMS_CHECK_H

#include <inttypes.h>

#include "backend/backend.h"

static inline pl_status backend_params_check(const struct backend_params *p, pl_err *err)
{
    const struct dims *d = &p->dims;
    if (!d->d_head || d->d_head % 32 || d->d_head > BACKEND_MAX_D_HEAD)
        return pl_fail(err, PL_E_UNSUPPORTED, "heads of %" PRIu32 " dimensions; multiples of 32 up "
                       "to %d are run", d->d_head, BACKEND_MAX_D_HEAD);
    if (!d->n_heads || !d->n_kv_heads || d->n_heads % d->n_kv_heads)
        return pl_fail(err, PL_E_UNSUPPORTED, "%" PRIu32 " query heads over %" PRIu32 " KV heads; "
                       "a multiple is run", d->n_heads, d->n_kv_heads);
    if (!p->max_cols || !p->max_outs)
        return pl_fail(err, PL_E_PARAM, "%" PRIu32 " columns and %" PRIu32 " outputs a step; at "
                       "least one of each is wanted", p->max_cols, p->max_outs);
    return PL_OK;
}

#endif
