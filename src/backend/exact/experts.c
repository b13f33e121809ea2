/* A mixture of experts. Each expert in turn gathers the columns that chose it and adds its part to
 * them: so a column adds up its experts in the order of their numbers, the shared one last. */
#include <math.h>
#include <string.h>

#include "backend/exact/exact_internal.h"
#include "backend/expert_groups.h"

/* ---- which experts, and how much of each ---------------------------------------------------- */

/* The highest of the ranks whose experts have no weight yet, the first of equals; not a number is
 * lowest. */
static uint32_t best_left(const float *rank, const float *weight, uint32_t n_experts)
{
    uint32_t best = n_experts;
    for (uint32_t e = 0; e < n_experts; e++)
        if (weight[e] == 0 && (best == n_experts || rank[e] > rank[best] ||
                               (isnan(rank[best]) && !isnan(rank[e]))))
            best = e;
    return best;
}

/* Turns n scores into shares. */
static void share(enum router_score kind, float *score, uint32_t n)
{
    double largest = -INFINITY, total = 0;
    for (uint32_t e = 0; e < n; e++) largest = fmax(largest, (double)score[e]);
    for (uint32_t e = 0; e < n; e++) {
        if (kind == ROUTER_SIGMOID) score[e] = (float)(1 / (1 + exp(-(double)score[e])));
        else total += exp((double)score[e] - largest);
    }
    for (uint32_t e = 0; e < n && kind == ROUTER_SOFTMAX; e++)
        score[e] = (float)(exp((double)score[e] - largest) / total);
}

/* Weights of the chosen: their shares; normalised; scaled, by scales of their own too. */
static void weigh(const struct router_params *p, const struct vector *scales,
                  const float *share_of, float *weight, uint32_t n_experts)
{
    double total = p->is_normalised ? 0 : 1;
    for (uint32_t e = 0; e < n_experts && p->is_normalised; e++)
        if (weight[e] != 0) total += (double)share_of[e];
    for (uint32_t e = 0; e < n_experts; e++)
        if (weight[e] != 0)
            weight[e] = (float)((double)share_of[e] / total * (double)p->scale *
                                (scales ? (double)scales->values[e] : 1));
}

struct route {
    const struct norm *norm;
    const struct expert_weights *w;
    const struct ffn_params *p;
};

static void route_column(struct exact_backend *b, const void *arg, uint32_t c)
{
    const struct route *r = arg;
    const struct expert_weights *w = r->w;
    const struct dims *d = &b->params.dims;
    float *h = b->expert_h + (size_t)c * d->d_model;
    float *score = b->expert_score + (size_t)c * d->n_experts;
    float *rank = b->expert_rank + (size_t)c * d->n_experts;
    float *weight = b->expert_weight + (size_t)c * d->n_experts;

    if (r->norm->weight) exact_normed(b->x + (size_t)c * d->d_model, r->norm, h);
    else memcpy(h, b->x + (size_t)c * d->d_model, d->d_model * sizeof *h);
    for (uint32_t e = 0; e < d->n_experts; e++) {
        const double bias = w->router_bias ? (double)w->router_bias->values[e] : 0;
        score[e] = (float)(bias + exact_dot(h, w->router->values + (size_t)e * d->d_model,
                                            d->d_model));
        weight[e] = 0;
    }
    /* scores that differ may round to equal shares */
    const bool is_by_score = router_ranks_scores(&r->p->router, w->choice_bias);
    if (is_by_score) memcpy(rank, score, d->n_experts * sizeof *rank);
    share(r->p->router.score, score, d->n_experts);
    for (uint32_t e = 0; e < d->n_experts && !is_by_score; e++)
        rank[e] = score[e] + (w->choice_bias ? w->choice_bias->values[e] : 0);
    expert_groups_drop(&r->p->router, rank, d->n_experts);
    for (uint32_t i = 0; i < d->n_experts_used; i++)
        weight[best_left(rank, weight, d->n_experts)] = 1;
    weigh(&r->p->router, w->scales, score, weight, d->n_experts);
    b->shared_weight[c] = 1;
    if (w->shared_router)
        b->shared_weight[c] = (float)(1 / (1 + exp(-exact_dot(h, w->shared_router->values,
                                                              d->d_model))));
}

/* ---- one expert ----------------------------------------------------------------------------- */

/* An expert's rows of its layer's matrices, and who goes through it. */
struct expert {
    struct rows gate, up, down;
    const float *weight;            /* of column c: weight[c * weight_stride]; 0: not chosen */
    size_t weight_stride;
    bool weighs_inputs;             /* as struct router_params has it */
};

/* to += scale * weight * down(activation(H gate) * (H up)) of the columns that chose it. */
static void add_expert(struct exact_backend *b, const struct expert *e,
                       const struct ffn_params *p, float scale, float *to)
{
    const size_t d_model = b->params.dims.d_model;
    uint32_t n = 0;
    for (uint32_t c = 0; c < b->batch.n_cols; c++) {
        if (e->weight[c * e->weight_stride] == 0) continue;
        memcpy(b->expert_h + n * d_model, b->h + c * d_model, d_model * sizeof *b->h);
        for (size_t k = 0; k < d_model && e->weighs_inputs; k++)
            b->expert_h[n * d_model + k] *= e->weight[c * e->weight_stride];
        b->expert_col[n++] = c;
    }
    if (!n) return;
    exact_gated(b, e->gate, e->up, p, b->expert_h, n);
    exact_product(b, "down", e->down, b->gate, n, b->y);
    for (uint32_t i = 0; i < n; i++) {
        const size_t c = b->expert_col[i];
        const float weight = e->weighs_inputs ? scale : scale * e->weight[c * e->weight_stride];
        for (size_t k = 0; k < d_model; k++)
            to[c * d_model + k] += weight * b->y[i * d_model + k];
    }
}

/* Where the residual is no plain sum, theirs is made apart. */
void exact_experts_add(struct backend *base, const struct norm *norm,
                       const struct expert_weights *w, const struct ffn_params *p,
                       const struct residual *r)
{
    struct exact_backend *b = (struct exact_backend *)base;
    const struct dims *d = &b->params.dims;
    const bool is_apart = r->norm.weight || r->takes_held || r->x_scale != 0;
    const float scale = is_apart ? 1 : r->scale;
    float *to = is_apart ? b->expert_sum : b->x;
    exact_run(b, "route", b->batch.n_cols, route_column, &(struct route){ norm, w, p });
    if (is_apart) memset(to, 0, (size_t)b->batch.n_cols * d->d_model * sizeof *to);
    for (uint32_t i = 0; i < d->n_experts; i++) {
        const uint32_t first = i * d->d_expert;
        const struct expert e = {
            { w->gate.weight, w->gate.bias, first, d->d_expert },
            { w->up.weight, w->up.bias, first, d->d_expert },
            { w->down.weight, w->down.bias, i * d->d_model, d->d_model },
            b->expert_weight + i, d->n_experts, p->router.weighs_inputs,
        };
        add_expert(b, &e, p, scale, to);
    }
    if (w->shared_down.weight) {
        const struct expert shared = { all_rows(&w->shared_gate), all_rows(&w->shared_up),
                                       all_rows(&w->shared_down), b->shared_weight, 1, false };
        add_expert(b, &shared, p, scale, to);
    }
    if (is_apart) exact_join(b, to, r);
}
