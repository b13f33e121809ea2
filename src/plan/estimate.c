#include "plan/estimate.h"

#include <math.h>

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
    return (double)m->n_layers * m->n_kv_heads *
           (head_bytes(k_type, m->d_head) + head_bytes(v_type, m->d_head));
}

struct work work_of_shape(const struct shape *m, const struct weights *w, double kv_bytes_per_token)
{
    return (struct work){
        .macs_per_token = (double)w->macs_per_token,
        .head_macs = (double)w->head_macs,
        .step_bytes = (double)w->step_bytes,
        .expert_bytes = (double)w->expert_bytes,
        .n_experts = m->n_experts,
        .n_experts_used = m->n_experts_used,
        .kv_bytes_per_token = kv_bytes_per_token,
        .attend_macs = 2.0 * m->n_heads * m->d_head * m->n_layers,
        .window_share = m->window_of ? (m->window_of - 1.0) / m->window_of : 0,
        .window = m->window,
        .n_layers = m->n_layers,
    };
}

struct rates rates_of_machine(const struct machine *machine)
{
    return (struct rates){ .macs_per_s = machine->macs_per_s,
                           .attend_macs_per_s = machine->macs_per_s,
                           .read_bytes_per_s = machine->read_bytes_per_s,
                           .layer_s = machine->layer_s };
}

struct rates rates_of_cpu(double macs_per_s, double read_bytes_per_s, bool has_blocks_of_32)
{
    return (struct rates){ .macs_per_s = 0.68 * macs_per_s,
                           .attend_macs_per_s = 0.12 * macs_per_s,
                           .read_bytes_per_s = 0.97 * read_bytes_per_s,
                           .extra_columns = has_blocks_of_32 ? 5.0 : 1.4,
                           .layer_s = 20e-6, .column_layer_s = 3e-6,
                           .overlaps_in_part = true };
}

/* Tokens of context that a column looks at, on the average of the layers. */
static double seen_tokens(const struct work *w, double ctx_tokens)
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

/* A step of n_streams tokens, each behind ctx_tokens of its own, and of n_prompt columns of one
 * prompt behind the `before` tokens of it that are done. Only the former need the output head. */
static struct estimate estimate_step(const struct work *w, const struct rates *r, double n_streams,
                                     double ctx_tokens, double n_prompt, double before)
{
    const double ctx_seen = seen_tokens(w, ctx_tokens);
    const double prompt_seen = n_prompt > 0 ? seen_tokens(w, before + n_prompt / 2) : 0;
    const double macs = (n_streams + n_prompt + r->extra_columns) * w->macs_per_token -
                        n_prompt * w->head_macs;
    const double attend_macs = (n_streams * ctx_seen + n_prompt * prompt_seen) * w->attend_macs;
    struct estimate e = {
        .arithmetic_s = macs / r->macs_per_s + attend_macs / r->attend_macs_per_s,
        .weights_s = estimate_weight_bytes(w->step_bytes, w->expert_bytes, w->n_experts,
                                           w->n_experts_used, n_streams + n_prompt) /
                     r->read_bytes_per_s,
        .kv_s = (n_streams * ctx_seen + prompt_seen) * w->kv_bytes_per_token / r->read_bytes_per_s,
        .launches_s =
            w->n_layers * (r->layer_s + (n_streams + n_prompt) * r->column_layer_s),
    };
    const double reads_s = e.weights_s + e.kv_s;
    const double work_s = r->overlaps_in_part ? cbrt(pow(e.arithmetic_s, 3) + pow(reads_s, 3))
                                              : fmax(e.arithmetic_s, reads_s);
    e.step_s = work_s + e.launches_s;
    e.tok_s = n_streams / e.step_s;
    if (e.launches_s > work_s) e.bound = BOUND_LAUNCHES;
    else if (e.arithmetic_s >= reads_s) e.bound = BOUND_ARITHMETIC;
    else e.bound = e.weights_s >= e.kv_s ? BOUND_WEIGHTS : BOUND_KV;
    return e;
}

struct estimate estimate_decode(const struct work *w, const struct rates *r, double n_streams,
                                double ctx_tokens)
{
    return estimate_step(w, r, n_streams, ctx_tokens, 0, 0);
}

struct estimate estimate_split_decode(const struct work *w, const struct rates *r,
                                      double cpu_macs_per_s, double crossing_s, double n_streams,
                                      double ctx_tokens)
{
    struct rates both = *r;
    both.macs_per_s += cpu_macs_per_s;
    both.layer_s += SPLIT_CROSSINGS * crossing_s;
    return estimate_step(w, &both, n_streams, ctx_tokens, 0, 0);
}

double estimate_prefill_s(const struct work *w, const struct rates *r, double n_tokens,
                          double n_streams, double ctx_tokens, double chunk_tokens)
{
    double s = 0;
    for (double done = 0; done < n_tokens; done += chunk_tokens)
        s += estimate_step(w, r, n_streams, ctx_tokens, fmin(chunk_tokens, n_tokens - done), done)
                 .step_s;
    return s;
}

double estimate_ridge(const struct work *w, const struct rates *r)
{
    const double weights_s = (w->step_bytes + w->expert_bytes) / r->read_bytes_per_s;
    return fmax(0, weights_s * r->macs_per_s / w->macs_per_token - r->extra_columns);
}
