/* The part of a plan that says where layers live, which KV groups they are in, and what backends
 * take for them. */
#ifndef ENGINE_PLAN_HOMES_H
#define ENGINE_PLAN_HOMES_H

#include "engine/plan.h"

/* The last layers on the backend that was asked for, what is left of them on the CPU: out->homes,
 * from out->ops. PL_E_PARAM: a layer would read keys and values that lie in the other home. */
pl_status plan_homes_choose(struct plan *out, const pl_params *p, const struct hparams *h,
                            pl_err *err);

/* PL_E_UNSUPPORTED: a home lacks an operation that the model wants. */
pl_status plan_homes_check(const struct plan *p, const struct hparams *h, pl_err *err);

/* out->scheduler's chunks and KV groups, and out->backend but for the types of K and V. The limits
 * and the rest of out->scheduler are there. */
void plan_homes_fill(struct plan *out, const pl_params *p, const struct hparams *h,
                     bool has_float_weights);

/* What the backends of all homes take; in out->public, what of KV is of windows and of a token.
 * PL_E_MEMORY: more than can be counted. */
pl_status plan_homes_bytes(struct plan *p, struct backend_bytes *out, pl_err *err);

#endif
