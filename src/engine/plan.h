/* What an engine takes, computed before anything is taken. pl_plan_compute prints it and pl_open
 * allocates it: both call plan_compute. */
#ifndef ENGINE_PLAN_H
#define ENGINE_PLAN_H

#include "engine/scheduler.h"
#include "engine/stream_pool.h"
#include "model/model.h"
#include "tokenizer/tokenizer.h"

/* Columns of a step whose logits a scored prompt may ask for, beside one of every other slot. */
enum { SCORE_TOKENS = 16 };

struct plan {
    pl_plan public;
    const struct backend_ops *ops;          /* of the last home: the backend that was asked for */
    struct homes homes;
    struct backend_params backend[MAX_HOMES];
    struct scheduler_params scheduler;
    struct stream_layout streams;
};

/* Whether a step may be started before the one before it is finished. */
static inline bool plan_runs_ahead(const struct plan *p)
{
    return p->homes.n == 1 && p->ops->start;
}

/* Fills in the defaults and computes. The file and its tokenizer are open. */
pl_status plan_compute(struct plan *out, const pl_params *params, const struct gguf *g,
                       const struct hparams *h, const struct tokenizer *t, pl_err *err);

/* PL_E_MEMORY with both numbers where the machine cannot hold the plan now. */
pl_status plan_check_memory(const struct plan *p, pl_err *err);

#endif
