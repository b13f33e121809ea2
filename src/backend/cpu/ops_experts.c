/* A mixture of experts. A column and one of its experts are a pair; pairs are ordered by expert, so
 * the columns of an expert lie together and each of its panels is read once for all of them. The
 * work list is (expert, panel), shared out by cost.
 *
 * Which expert a column chooses follows from its own bytes: the router runs in f32 on the
 * normalised column, in an order of sums given by d_model. An expert's product gives a column the
 * same bytes whoever shares it, and a column adds up its experts by rank: so the batch does not
 * matter. */
#include <math.h>
#include <string.h>

#include "backend/cpu/phase.h"
#include "backend/cpu/product.h"
#include "backend/expert_groups.h"

/* A panel costs its reading, as much as this many columns of it, and its columns. */
enum { READ_COST = 4 };

static uint32_t n_pairs_of(const struct cpu_backend *b)
{
    return b->batch.n_cols * b->params.dims.n_experts_used;
}

/* The columns as f32: what the router reads. They stay in b->y until the experts' results come. */
static void run_route_norm(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct dims *d = &b->params.dims;
    const struct vector *shared = p->experts->shared_router;
    const struct range cols = range_of(b->batch.n_cols, part);
    for (uint32_t c = cols.first; c < cols.last; c++) {
        float *row = b->y + c * b->ld_model;
        norm_row(b, p->norm, b->x + c * b->ld_model, row);
        b->moe.shared_weight[c] =
            shared ? 1.0f / (1.0f + expf(-b->k.dot(row, shared->values, d->d_model))) : 1;
    }
}

/* Experts are shared out, not columns: a router row is read once for all columns. */
static void run_route(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct dims *d = &b->params.dims;
    const struct range mine = range_of(d->n_experts, part);
    const struct vector *bias = p->experts->router_bias;
    for (uint32_t e = mine.first; e < mine.last; e++)
        for (uint32_t c = 0; c < b->batch.n_cols; c++)
            b->moe.score[c * d->n_experts + e] =
                b->k.dot(b->y + c * b->ld_model, p->experts->router->values +
                         (size_t)e * d->d_model, d->d_model) + (bias ? bias->values[e] : 0);
}

/* The n_used highest scores by rank, the lower index first among equals. Not a number is lowest. */
static void choose(const float *score, uint32_t n_experts, uint32_t n_used, uint32_t *chosen)
{
    for (uint32_t n = 0, e = 0; e < n_experts; e++) {
        const float mine = isnan(score[e]) ? -INFINITY : score[e];
        uint32_t at = n < n_used ? n : n_used;
        while (at > 0 && (isnan(score[chosen[at - 1]]) ? -INFINITY : score[chosen[at - 1]]) < mine)
            at--;
        if (at == n_used) continue;
        const uint32_t n_moved = (n < n_used ? n : n_used - 1) - at;
        memmove(chosen + at + 1, chosen + at, n_moved * sizeof *chosen);
        chosen[at] = e;
        n += n < n_used;
    }
}

/* What weights are multiplied by in the end. */
static void scale_weights(const struct vector *scales, const uint32_t *chosen, uint32_t n_used,
                          float *weight)
{
    for (uint32_t i = 0; i < n_used && scales; i++) weight[i] *= scales->values[chosen[i]];
}

/* Weights: the softmax of all scores, or, normalised, of those chosen; scaled. */
static void weigh(const float *score, uint32_t n_experts, const uint32_t *chosen, uint32_t n_used,
                  const struct router_params *p, float *weight)
{
    const float max = score[chosen[0]];
    float total = 0;
    for (uint32_t i = 0; i < n_used; i++) weight[i] = expf(score[chosen[i]] - max);
    if (p->is_normalised)
        for (uint32_t i = 0; i < n_used; i++) total += weight[i];
    else
        for (uint32_t e = 0; e < n_experts; e++) total += expf(score[e] - max);
    for (uint32_t i = 0; i < n_used; i++) weight[i] = weight[i] / total * p->scale;
}

/* The n scores become shares. */
static void share(enum router_score kind, float *score, uint32_t n)
{
    float max = -INFINITY, total = 0;
    for (uint32_t e = 0; e < n; e++) max = fmaxf(max, score[e]);
    for (uint32_t e = 0; e < n; e++) {
        score[e] = kind == ROUTER_SIGMOID ? 1 / (1 + expf(-score[e])) : expf(score[e] - max);
        total += score[e];
    }
    for (uint32_t e = 0; e < n && kind == ROUTER_SOFTMAX; e++) score[e] /= total;
}

/* Where the ranks are not the scores: choices by shares, bias and groups; shares are weights. */
static void choose_by_shares(const struct cpu_backend *b, const struct phase *p, float *score,
                             float *rank, uint32_t *chosen, float *weight)
{
    const uint32_t n_experts = b->params.dims.n_experts, n_used = b->params.dims.n_experts_used;
    const struct router_params *r = &p->ffn->router;
    const struct vector *bias = p->experts->choice_bias;
    float total = 0;
    share(r->score, score, n_experts);
    for (uint32_t e = 0; e < n_experts; e++) rank[e] = score[e] + (bias ? bias->values[e] : 0);
    expert_groups_drop(r, rank, n_experts);
    choose(rank, n_experts, n_used, chosen);
    for (uint32_t i = 0; i < n_used; i++) total += score[chosen[i]];
    for (uint32_t i = 0; i < n_used; i++)
        weight[i] = score[chosen[i]] / (r->is_normalised ? total : 1) * r->scale;
}

static void run_choose(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const uint32_t n_experts = b->params.dims.n_experts, n_used = b->params.dims.n_experts_used;
    const struct range cols = range_of(b->batch.n_cols, part);
    for (uint32_t c = cols.first; c < cols.last; c++) {
        float *score = b->moe.score + (size_t)c * n_experts;
        float *weight = b->moe.weight + (size_t)c * n_used;
        uint32_t *chosen = b->moe.chosen + (size_t)c * n_used;
        if (!router_ranks_scores(&p->ffn->router, p->experts->choice_bias)) {
            choose_by_shares(b, p, score, b->moe.rank + (size_t)c * n_experts, chosen, weight);
        } else {
            choose(score, n_experts, n_used, chosen);
            weigh(score, n_experts, chosen, n_used, &p->ffn->router, weight);
        }
        scale_weights(p->experts->scales, chosen, n_used, weight);
    }
}

/* Pairs by expert, within one by column. */
static void run_group(struct cpu_backend *b, const struct phase *p, struct part part)
{
    (void)p;
    const uint32_t n_experts = b->params.dims.n_experts, n_used = b->params.dims.n_experts_used;
    uint32_t *first = b->moe.first_pair;
    if (part.index) return;
    memset(first, 0, (n_experts + 1) * sizeof *first);
    for (uint32_t i = 0; i < n_pairs_of(b); i++) first[b->moe.chosen[i] + 1]++;
    for (uint32_t e = 0; e < n_experts; e++) first[e + 1] += first[e];
    for (uint32_t i = 0; i < n_pairs_of(b); i++) {
        const uint32_t pair = first[b->moe.chosen[i]]++;
        b->moe.pair[i] = pair;
        b->moe.col[pair] = i / n_used;
    }
    memmove(first + 1, first, n_experts * sizeof *first);   /* each had moved on to the next */
    first[0] = 0;
}

/* Quantised values times a number are their scales times it. */
static void scale_pair(const struct cpu_backend *b, uint32_t forms, uint32_t s, float by)
{
    const uint32_t d_model = b->params.dims.d_model;
    const size_t n_pairs = n_pairs_of(b);
    const struct act *h = &b->moe.h;
    for (uint32_t k = 0; k < d_model / 256 && forms & ACT_FORM_X256; k++)
        h->x256[k * n_pairs + s].d *= by;
    for (uint32_t k = 0; k < d_model / 256 && forms & ACT_FORM_X256U; k++)
        h->x256u[k * n_pairs + s].d *= by;
    for (uint32_t k = 0; k < d_model / 32 && forms & ACT_FORM_X32; k++) {
        h->x32[k * n_pairs + s].d *= by;
        h->x32[k * n_pairs + s].d_sum *= by;
    }
    for (uint32_t k = 0; k < d_model / 32 && forms & ACT_FORM_F32; k++)
        for (int i = 0; i < 32; i++) h->f32[k * n_pairs + s].v[i] *= by;
}

/* Copies each pair's column of H, in the forms that the experts read. */
static void run_gather(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const uint32_t n_pairs = n_pairs_of(b), n_cols = b->batch.n_cols;
    const uint32_t d_model = b->params.dims.d_model, n_used = b->params.dims.n_experts_used;
    const struct act *from = &b->h, *to = &b->moe.h;
    const struct range mine = range_of(n_pairs, part);
    for (uint32_t i = mine.first; i < mine.last; i++) {
        const uint32_t s = b->moe.pair[i], c = i / n_used;
        for (uint32_t k = 0; k < d_model / 256 && p->forms & ACT_FORM_X256; k++)
            to->x256[(size_t)k * n_pairs + s] = from->x256[(size_t)k * n_cols + c];
        for (uint32_t k = 0; k < d_model / 256 && p->forms & ACT_FORM_X256U; k++)
            to->x256u[(size_t)k * n_pairs + s] = from->x256u[(size_t)k * n_cols + c];
        for (uint32_t k = 0; k < d_model / 32 && p->forms & ACT_FORM_X32; k++)
            to->x32[(size_t)k * n_pairs + s] = from->x32[(size_t)k * n_cols + c];
        for (uint32_t k = 0; k < d_model / 32 && p->forms & ACT_FORM_F32; k++)
            to->f32[(size_t)k * n_pairs + s] = from->f32[(size_t)k * n_cols + c];
        if (!p->ffn->router.weighs_inputs) continue;
        scale_pair(b, p->forms, s, b->moe.weight[i]);
        b->moe.weight[i] = 1;       /* of what the expert makes */
    }
}

/* Panels of one expert that are this part's. */
struct expert_panels {
    uint32_t expert;
    struct range cols, panels;
};

/* A pass over the work list: experts in order, each with n_panels panels. */
struct expert_pass {
    const struct cpu_backend *b;
    uint32_t n_panels, expert;
    uint64_t before, first, last;   /* cost of the experts visited; this part of all */
};

static struct expert_pass pass_of(const struct cpu_backend *b, uint32_t n_panels,
                                  struct part part)
{
    const uint32_t *first = b->moe.first_pair;
    uint64_t total = 0;
    for (uint32_t e = 0; e < b->params.dims.n_experts; e++)
        if (first[e + 1] > first[e])
            total += (uint64_t)n_panels * (READ_COST + first[e + 1] - first[e]);
    return (struct expert_pass){ b, n_panels, 0, 0, total * part.index / part.n,
                                 total * (part.index + 1) / part.n };
}

/* How many panels of cost `cost` begin before `end`, the first one beginning at `start`. */
static uint32_t n_before(uint64_t start, uint64_t end, uint64_t cost, uint32_t n_panels)
{
    const uint64_t n = end > start ? (end - start + cost - 1) / cost : 0;
    return n < n_panels ? (uint32_t)n : n_panels;
}

/* The next expert of which this part has panels; false: there is none. */
static bool next_panels(struct expert_pass *p, struct expert_panels *out)
{
    const uint32_t *first = p->b->moe.first_pair;
    while (p->expert < p->b->params.dims.n_experts) {
        const uint32_t e = p->expert++;
        const uint64_t cost = READ_COST + first[e + 1] - first[e], start = p->before;
        if (first[e + 1] == first[e]) continue;
        p->before += p->n_panels * cost;
        *out = (struct expert_panels){
            e, { first[e], first[e + 1] },
            { n_before(start, p->first, cost, p->n_panels),
              n_before(start, p->last, cost, p->n_panels) },
        };
        if (out->panels.first < out->panels.last) return true;
    }
    return false;
}

/* A matrix that holds the experts' rows one after the other, times their pairs, and its bias. */
static void expert_product(const struct cpu_backend *b, const struct linear *w,
                           const struct act *act, const struct expert_panels *s, uint32_t n_panels,
                           float *out, size_t ld_out)
{
    const struct range panels = { s->expert * n_panels + s->panels.first,
                                  s->expert * n_panels + s->panels.last };
    out += (size_t)s->panels.first * PANEL_ROWS;
    product_columns(b, w->weight, act, s->cols, n_pairs_of(b), panels, out, ld_out);
    product_add_bias(b, w->bias, panels.first * PANEL_ROWS,
                     (panels.last - panels.first) * PANEL_ROWS, s->cols, out, ld_out);
}

static void run_expert_gate_up(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const uint32_t n_panels = b->params.dims.d_expert / PANEL_ROWS;
    struct expert_pass pass = pass_of(b, n_panels, part);
    struct expert_panels s;
    while (next_panels(&pass, &s)) {
        expert_product(b, &p->experts->gate, &b->moe.h, &s, n_panels, b->moe.gate, b->ld_expert);
        expert_product(b, &p->experts->up, &b->moe.h, &s, n_panels, b->moe.up, b->ld_expert);
    }
}

static void run_expert_activation(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const uint32_t d_expert = b->params.dims.d_expert, n_pairs = n_pairs_of(b);
    const struct range mine = range_of(n_pairs, part);
    for (uint32_t s = mine.first; s < mine.last; s++) {
        float *gate = b->moe.gate + s * b->ld_expert;
        b->k.gate(gate, b->moe.up + s * b->ld_expert, d_expert, p->ffn->activation, gate);
        act_quantise(b, &b->moe.ff, p->forms, s, n_pairs, gate, 0, d_expert);
    }
}

static void run_expert_down(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const uint32_t n_panels = b->params.dims.d_model / PANEL_ROWS;
    struct expert_pass pass = pass_of(b, n_panels, part);
    struct expert_panels s;
    while (next_panels(&pass, &s))
        expert_product(b, &p->experts->down, &b->moe.ff, &s, n_panels, b->moe.out, b->ld_model);
}

static void add_weighted(float *x, const float *y, float weight, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) x[i] += weight * y[i];
}

/* A column's sum, the shared expert's result first, in b->y, from where it joins X. */
static void sum_apart(struct cpu_backend *b, const struct phase *p, uint32_t c)
{
    const uint32_t n_used = b->params.dims.n_experts_used, d_model = b->params.dims.d_model;
    float *y = b->y + c * b->ld_model;
    if (p->experts->shared_down.weight) b->k.cap(y, d_model, b->moe.shared_weight[c], 0);
    else memset(y, 0, d_model * sizeof *y);
    for (uint32_t i = 0; i < n_used; i++)
        add_weighted(y, b->moe.out + b->moe.pair[c * n_used + i] * b->ld_model,
                     b->moe.weight[c * n_used + i], d_model);
    product_join(b, p->residual, c);
}

static void run_expert_sum_apart(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct range cols = range_of(b->batch.n_cols, part);
    for (uint32_t c = cols.first; c < cols.last; c++) sum_apart(b, p, c);
}

/* The shared expert's result, if there is one, stands in b->y. */
static void run_expert_sum(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const uint32_t n_used = b->params.dims.n_experts_used, d_model = b->params.dims.d_model;
    const float scale = p->residual->scale;
    const struct range cols = range_of(b->batch.n_cols, part);
    for (uint32_t c = cols.first; c < cols.last; c++) {
        float *x = b->x + c * b->ld_model;
        for (uint32_t i = 0; i < n_used; i++)
            add_weighted(x, b->moe.out + b->moe.pair[c * n_used + i] * b->ld_model,
                         scale * b->moe.weight[c * n_used + i], d_model);
        if (p->experts->shared_down.weight)
            add_weighted(x, b->y + c * b->ld_model, scale * b->moe.shared_weight[c], d_model);
    }
}

static struct phase *add_expert_phase(struct cpu_backend *b, phase_fn *run, const char *name,
                                      const struct expert_weights *w)
{
    struct phase *p = phase_add(b, run, name);
    p->experts = w;
    return p;
}

void cpu_experts_add(struct backend *base, const struct norm *norm, const struct expert_weights *w,
                     const struct ffn_params *params, const struct residual *r)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    const uint32_t forms = act_form(w->gate.weight) | act_form(w->up.weight);
    const bool is_apart = r->norm.weight || r->takes_held || r->x_scale != 0;
    assert(!r->is_held);
    phase_want_forms(b, b->writer.h, forms);

    add_expert_phase(b, run_route_norm, "route", w)->norm = norm;
    add_expert_phase(b, run_route, "route", w);
    add_expert_phase(b, run_choose, "route", w)->ffn = params;
    add_expert_phase(b, run_group, "route", w);
    struct phase *p = add_expert_phase(b, run_gather, "route", w);
    p->forms = forms;
    p->ffn = params;
    if (w->shared_down.weight) {
        cpu_gate_up(base, &w->shared_gate, &w->shared_up, params);
        phase_want_forms(b, b->writer.ff, act_form(w->shared_down.weight));
        product_record(b, "down", &w->shared_down, &b->ff, b->y, b->ld_model);
    }
    const double product_ns = PRODUCT_NS * n_pairs_of(b) * b->params.dims.d_expert *
                              b->params.dims.d_model;
    phase_set_cost(b, add_expert_phase(b, run_expert_gate_up, "gate up", w), 2 * product_ns);
    p = add_expert_phase(b, run_expert_activation, "activation", w);
    p->ffn = params;
    p->forms = act_form(w->down.weight);
    phase_set_cost(b, p, ACTIVATION_NS * n_pairs_of(b) * b->params.dims.d_expert);
    phase_set_cost(b, add_expert_phase(b, run_expert_down, "down", w), product_ns);
    add_expert_phase(b, is_apart ? run_expert_sum_apart : run_expert_sum, "expert sum",
                     w)->residual = r;
}
