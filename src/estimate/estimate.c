#include "estimate/estimate.h"

#include <math.h>
#include <string.h>

#include "quant/quant.h"

/* Of the ALUs' lane rate, what the matrix unit reaches: 3.15 of 4.04 TMAC/s on an M4 Pro. */
#define MATRIX_SHARE 0.78

enum { RIDGE_MOST = 4096 };

const char *bound_name(enum bound bound)
{
    static const char *const names[] = { "arithmetic", "weight reads", "KV reads", "launches" };
    return names[bound];
}

/* Of one head and token. */
static double head_bytes(enum kv_type type, uint32_t d_head)
{
    switch (type) {
    case KV_Q8_0: return d_head * 34 / 32.0;
    case KV_F8_E4M3: return d_head + sizeof(float);
    default: return d_head * 2.0;
    }
}

double kv_bytes_of(const struct shape *m, enum kv_type k_type, enum kv_type v_type)
{
    return (double)shape_kv_layers(m) * m->n_kv_heads *
           (head_bytes(k_type, m->d_head) + head_bytes(v_type, m->d_head));
}

double kv_window_tokens(const struct shape *m, enum estimate_backend backend, uint32_t n_streams,
                        uint32_t ctx_tokens, uint32_t step_tokens)
{
    enum { PAGE = 16 };
    const double of_stream =
        (m->window + PAGE - 2) / PAGE + estimate_backend_traits(backend)->chunk_pages + 1;
    const double n_pages = n_streams * of_stream + step_tokens / PAGE;
    const double n_all = (double)n_streams * ((ctx_tokens + PAGE - 1) / PAGE);
    return PAGE * (n_pages < n_all ? n_pages : n_all);
}

/* Three places a stream, and four. */
double kv_states(uint32_t n_streams)
{
    return 3.0 * n_streams + 4;
}

struct work work_of_shape(const struct shape *m, const struct weights *w,
                          enum estimate_backend backend, enum kv_type k_type, enum kv_type v_type)
{
    const struct packed_bytes packed = weights_packed(w, backend);
    struct work work = {
        .macs_per_token = (double)w->macs_per_token,
        .n_parts = w->n_parts,
        .step_bytes = packed.step,
        .expert_bytes = packed.experts,
        .n_experts = m->n_experts,
        .n_experts_used = m->n_experts_used,
        .kv_bytes_per_token = kv_bytes_of(m, k_type, v_type),
        .window_share = (double)m->n_window_layers / m->n_layers,
        .window = m->window,
        .state_bytes = m->state_bytes,
        .n_layers = m->n_layers, .n_kv_layers = shape_kv_layers(m),
        .n_heads = m->n_heads, .n_kv_heads = m->n_kv_heads,
        .d_head = m->d_head, .k_type = k_type, .v_type = v_type,
    };
    memcpy(work.part, w->part, sizeof work.part);
    return work;
}

/* ---- rates ---------------------------------------------------------------------------------- */

struct rates rates_of_machine(const struct machine *m)
{
    struct rates r = { .backend = m->backend, .macs_per_s = m->macs_per_s,
                       .expert_macs_per_s = m->macs_per_s, .attend_macs_per_s = m->macs_per_s,
                       .lanes_per_s = m->lanes_per_s, .read_bytes_per_s = m->read_bytes_per_s,
                       .layer_s = m->layer_s };
    if (m->backend == ESTIMATE_METAL_TENSORS)
        r.expert_macs_per_s = r.attend_macs_per_s = m->alu_macs_per_s;
    if (m->backend == ESTIMATE_CPU) {
        const struct rates cpu = rates_of_cpu(1, 1);
        r.attend_macs_per_s *= cpu.attend_macs_per_s / cpu.macs_per_s;
        r.column_layer_s = cpu.column_layer_s;
        r.overlaps_in_part = true;
    }
    return r;
}

struct rates rates_of_cpu(double macs_per_s, double read_bytes_per_s)
{
    return (struct rates){ .backend = ESTIMATE_CPU,
                           .macs_per_s = 0.68 * macs_per_s,
                           .expert_macs_per_s = 0.68 * macs_per_s,
                           .attend_macs_per_s = 0.12 * macs_per_s,
                           .read_bytes_per_s = 0.97 * read_bytes_per_s,
                           .layer_s = 20e-6, .column_layer_s = 3e-6,
                           .overlaps_in_part = true };
}

struct rates rates_of_cpu_matrix(double macs_per_s, double read_bytes_per_s)
{
    struct rates r = rates_of_cpu(macs_per_s, read_bytes_per_s);
    r.backend = ESTIMATE_CPU_MATRIX;
    r.macs_per_s *= CPU_MATRIX_TIMES;
    r.expert_macs_per_s *= CPU_MATRIX_TIMES;
    return r;
}

struct rates rates_of_metal(double macs_per_s, double read_bytes_per_s)
{
    return (struct rates){ .backend = ESTIMATE_METAL, .macs_per_s = macs_per_s,
                           .expert_macs_per_s = macs_per_s, .attend_macs_per_s = macs_per_s,
                           .lanes_per_s = macs_per_s / MATRIX_SHARE,
                           .read_bytes_per_s = read_bytes_per_s, .layer_s = MACHINE_METAL_LAYER_S };
}

/* ---- one step ------------------------------------------------------------------------------- */

double estimate_seen_tokens(const struct work *w, double ctx_tokens)
{
    const double in_window = w->window_share > 0 ? fmin(ctx_tokens, w->window) : ctx_tokens;
    return w->window_share * in_window + (1 - w->window_share) * ctx_tokens;
}

double estimate_weight_bytes(double step_bytes, double expert_bytes, uint32_t n_experts,
                             uint32_t n_experts_used, double n_columns)
{
    if (!n_experts) return step_bytes;
    return step_bytes + expert_bytes * (1 - pow(1 - (double)n_experts_used / n_experts, n_columns));
}

static double seconds_of(struct column_cost c, double macs_per_s, double lanes_per_s)
{
    return c.macs / macs_per_s + (lanes_per_s > 0 ? c.lanes / lanes_per_s : 0);
}

/* n_columns of which n_out need the output head. */
static double products_s(const struct work *w, const struct rates *r, uint32_t n_columns,
                         uint32_t n_out)
{
    double s = 0;
    for (uint32_t i = 0; i < w->n_parts; i++) {
        const struct type_weights *p = &w->part[i];
        s += (double)p->dense * seconds_of(column_cost(r->backend, p->type, n_columns),
                                           r->macs_per_s, r->lanes_per_s);
        s += (double)p->head * seconds_of(column_cost(r->backend, p->type, n_out), r->macs_per_s,
                                          r->lanes_per_s);
        if (w->n_experts && p->experts)
            s += (double)p->experts *
                 seconds_of(expert_cost(r->backend, p->type, w->n_experts, w->n_experts_used,
                                        n_columns), r->expert_macs_per_s, r->lanes_per_s);
    }
    return s;
}

/* Of n_columns of one sequence, each with seen_tokens to look at. */
static double attend_s(const struct work *w, const struct rates *r, uint32_t n_columns,
                       double seen_tokens)
{
    const double useful = 2.0 * w->n_heads * w->d_head * w->n_kv_layers;
    if (!estimate_backend_is_metal(r->backend))
        return n_columns * seen_tokens * useful / r->attend_macs_per_s;
    const struct attend_shape shape = { n_columns * (w->n_heads / w->n_kv_heads), w->d_head,
                                        w->k_type, w->v_type };
    return (double)w->n_kv_layers * w->n_kv_heads * seen_tokens *
           seconds_of(attend_cost(&shape), r->attend_macs_per_s, r->lanes_per_s);
}

/* What follows from the parts. */
static void finish(struct estimate *e, const struct rates *r, uint32_t n_streams)
{
    const double reads_s = e->weights_s + e->kv_s;
    e->arithmetic_s = e->products_s + e->attend_s;
    const double work_s = r->overlaps_in_part ? cbrt(pow(e->arithmetic_s, 3) + pow(reads_s, 3))
                                              : fmax(e->arithmetic_s, reads_s);
    e->step_s = work_s + e->launches_s;
    e->tok_s = n_streams / e->step_s;
    if (e->launches_s > work_s) e->bound = BOUND_LAUNCHES;
    else if (e->arithmetic_s >= reads_s) e->bound = BOUND_ARITHMETIC;
    else e->bound = e->weights_s >= e->kv_s ? BOUND_WEIGHTS : BOUND_KV;
}

/* A step of n_streams tokens, each behind ctx_tokens of its own, and of n_prompt columns of one
 * prompt behind the `before` tokens of it that are done. Only the former need the output head. */
static struct estimate estimate_step(const struct work *w, const struct rates *r,
                                     uint32_t n_streams, double ctx_tokens, uint32_t n_prompt,
                                     double before)
{
    const double ctx_seen = estimate_seen_tokens(w, ctx_tokens);
    const double prompt_seen = n_prompt ? estimate_seen_tokens(w, before + n_prompt / 2.0) : 0;
    const uint32_t n = n_streams + n_prompt;
    struct estimate e = {
        .products_s = products_s(w, r, n, n_streams),
        .attend_s = n_streams * attend_s(w, r, 1, ctx_seen) +
                    (n_prompt ? attend_s(w, r, n_prompt, prompt_seen) : 0),
        .weights_s = estimate_weight_bytes(w->step_bytes, w->expert_bytes, w->n_experts,
                                           w->n_experts_used, n) / r->read_bytes_per_s,
        .kv_s = ((n_streams * ctx_seen + prompt_seen) * w->kv_bytes_per_token +
                 2 * n_streams * w->state_bytes) / r->read_bytes_per_s,
        .launches_s = w->n_layers * (r->layer_s + n * r->column_layer_s),
    };
    finish(&e, r, n_streams);
    return e;
}

struct estimate estimate_decode(const struct work *w, const struct rates *r, uint32_t n_streams,
                                double ctx_tokens)
{
    return estimate_step(w, r, n_streams, ctx_tokens, 0, 0);
}

double estimate_split_share(const struct work *w, const struct rates *r, double cpu_macs_per_s,
                            uint32_t n_streams)
{
    const double gpu_s = products_s(w, r, n_streams, n_streams);
    if (cpu_macs_per_s <= 0) return 0;
    return gpu_s / (gpu_s + n_streams * w->macs_per_token / cpu_macs_per_s);
}

struct estimate estimate_split_decode(const struct work *w, const struct rates *r,
                                      double cpu_macs_per_s, double crossing_s, uint32_t n_streams,
                                      double ctx_tokens)
{
    struct estimate e = estimate_decode(w, r, n_streams, ctx_tokens);
    e.products_s *= 1 - estimate_split_share(w, r, cpu_macs_per_s, n_streams);
    e.launches_s += w->n_layers * SPLIT_CROSSINGS * crossing_s;
    finish(&e, r, n_streams);
    return e;
}

double estimate_sme_macs_per_s(const struct work *w, double sme_macs_per_s, uint32_t n_streams)
{
    enum { COLUMNS = 16, SUPER = 256 };
    const double columns = (n_streams + COLUMNS - 1) / COLUMNS * COLUMNS;
    double useful = 0, executed = 0;
    for (uint32_t i = 0; i < w->n_parts; i++) {
        const struct type_weights *p = &w->part[i];
        const double n = (double)p->dense + (double)p->head + (double)p->experts;
        const bool has_planes = quant_traits(p->type)->block_weights == SUPER;
        useful += n * n_streams;
        executed += n * columns * (has_planes ? 2 : 1);
    }
    return executed > 0 ? sme_macs_per_s * useful / executed : 0;
}

double estimate_prefill_s(const struct work *w, const struct rates *r, uint32_t n_tokens,
                          uint32_t n_streams, double ctx_tokens, uint32_t chunk_tokens)
{
    double s = 0;
    for (uint32_t done = 0; done < n_tokens; done += chunk_tokens) {
        const uint32_t left = n_tokens - done;
        s += estimate_step(w, r, n_streams, ctx_tokens, left < chunk_tokens ? left : chunk_tokens,
                           done).step_s;
    }
    return s;
}

uint32_t estimate_ridge(const struct work *w, const struct rates *r)
{
    const double weights_s = (w->step_bytes + w->expert_bytes) / r->read_bytes_per_s;
    uint32_t low = 0, high = 1;
    while (high <= RIDGE_MOST && products_s(w, r, high, high) <= weights_s) {
        low = high;
        high *= 2;
    }
    if (high > RIDGE_MOST) return UINT32_MAX;
    while (high - low > 1) {
        const uint32_t n = low + (high - low) / 2;
        if (products_s(w, r, n, n) <= weights_s) low = n;
        else high = n;
    }
    return high == 1 ? 0 : high;
}
