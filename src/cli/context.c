#include "cli/context.h"

#include "base/memory_available.h"

static pl_status plan_with(const pl_params *params, uint32_t ctx_tokens, pl_plan *plan, pl_err *err)
{
    pl_params p = *params;
    p.ctx_tokens = ctx_tokens;
    return pl_plan_compute(plan, &p, err);
}

/* The most of which the plan is no larger than `budget`. What a token takes follows from two plans;
 * a third and further ones see to what is not in proportion. */
static pl_status fit(const pl_params *params, uint32_t limit, uint64_t budget, uint32_t *ctx_tokens,
                     pl_err *err)
{
    pl_plan least, most;
    pl_status st = plan_with(params, CONTEXT_LEAST, &least, err);
    if (!st) st = plan_with(params, limit, &most, err);
    *ctx_tokens = CONTEXT_LEAST;
    if (st || least.total_bytes >= budget) return st;
    const double per_token =
        (double)(most.total_bytes - least.total_bytes) / (double)(limit - CONTEXT_LEAST);
    const double more = (double)(budget - least.total_bytes) / per_token;
    uint32_t n = CONTEXT_LEAST +
                 (more < limit - CONTEXT_LEAST ? (uint32_t)more : limit - CONTEXT_LEAST);
    for (n -= n % CONTEXT_STEP; !st && n > CONTEXT_LEAST; n -= CONTEXT_STEP) {
        st = plan_with(params, n, &most, err);
        if (!st && most.total_bytes <= budget) break;
    }
    *ctx_tokens = n;
    return st;
}

pl_status context_choose_within(pl_params *params, uint32_t most, uint64_t free_bytes, pl_err *err)
{
    pl_plan plan;
    if (params->ctx_tokens) return PL_OK;
    pl_status st = plan_with(params, 0, &plan, err);        /* the model's limit */
    if (st) return st;
    const uint32_t limit = most && most < plan.model_ctx_tokens ? most : plan.model_ctx_tokens;
    const uint64_t budget = free_bytes - free_bytes / 4;
    uint32_t n = limit;
    if (limit < plan.model_ctx_tokens) st = plan_with(params, limit, &plan, err);
    if (!st && plan.total_bytes > budget && limit > CONTEXT_LEAST && !params->kv_tokens)
        st = fit(params, limit, budget, &n, err);
    if (!st) params->ctx_tokens = n;
    return st;
}

pl_status context_choose(pl_params *params, uint32_t most, pl_err *err)
{
    return context_choose_within(params, most, memory_available(), err);
}
