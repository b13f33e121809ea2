/* --explain: every figure as "what = formula = numbers = result". The numbers are those that the
 * plan computes with, written out so far that they give the result. */
#include <stdarg.h>
#include <stdio.h>

#include "cli/plan/json.h"

#define GIB 1073741824.0

__attribute__((format(printf, 2, 3))) static void line(json_t *lines, const char *format, ...)
{
    char text[640];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_array_append_new(lines, json_string(text));
}

/* ---- memory --------------------------------------------------------------------------------- */

static void explain_weights(json_t *lines, const struct plan_subject *s,
                            const struct plan_memory *m)
{
    struct weights w;
    char sum[360];
    int n = 0;
    if (s->is_file) {
        line(lines, "weights = the file's tensors, as the %s backend packs them = %.0f bytes",
             estimate_backend_traits(s->machine.backend)->name, m->weights);
        return;
    }
    recipe_weights(&s->shape, s->load.recipe, &w);
    for (uint32_t i = 0; i < w.n_parts; i++) {
        const struct type_weights *p = &w.part[i];
        n += snprintf(sum + n, sizeof sum - (size_t)n, "%.8g G x %.8g + ",
                      (double)(p->dense + p->head + p->experts + p->looked_up) * 1e-9,
                      estimate_bytes_a_weight(s->machine.backend, p->type));
    }
    line(lines, "weights = sum over types of weights x bytes of one as packed, and norms and "
         "biases of 4 bytes = %s%.8g G x 4 = %.5f GB", sum, (double)w.n_floats * 1e-9,
         m->weights * 1e-9);
}

static void explain_kv(json_t *lines, const struct plan_subject *s, const struct plan_memory *m)
{
    const uint32_t n_tokens = (s->load.ctx_tokens + 15) / 16 * 16;
    const uint32_t n_layers = shape_kv_layers(&s->shape);
    const uint32_t n_windows = m->window_kv > 0 ? s->shape.n_window_layers : 0;
    const double of_windows = m->kv_per_token * n_windows / n_layers;
    if (m->states > 0)
        line(lines, "states = what %u layers remember of a stream x (3 x streams + 4) = %.8g bytes "
             "x %.8g = %.4f GiB", s->shape.n_state_layers, s->shape.state_bytes,
             kv_states(s->load.n_streams), m->states / GIB);
    if (m->states > 0)
        line(lines, "KV = states + KV a token x context in whole pages of 16 x streams = %.4f GiB "
             "+ %.8g bytes x %u x %u = %.4f GiB", m->states / GIB, m->kv_per_token, n_tokens,
             s->load.n_streams, m->kv / GIB);
    else if (!n_windows)
        line(lines, "KV = KV a token x context in whole pages of 16 x streams = %.8g bytes x %u x "
             "%u = %.4f GiB", m->kv_per_token, n_tokens, s->load.n_streams, m->kv / GIB);
    else
        line(lines, "KV = KV a token of %u of %u layers x context in whole pages of 16 x streams, "
             "and of %u x tokens that their window of %u keeps = %.8g bytes x %u x %u + %.8g bytes "
             "x %.8g = %.4f GiB", n_layers - n_windows, n_layers, n_windows, s->shape.window,
             m->kv_per_token - of_windows, n_tokens, s->load.n_streams, of_windows,
             m->window_kv / of_windows, m->kv / GIB);
}

static void explain_memory(json_t *lines, const struct plan_subject *s, const struct plan_memory *m)
{
    explain_weights(lines, s, m);
    line(lines, "KV a token = layers x KV heads x (bytes of a key + of a value) = %u x %u x %.8g = "
         "%.8g bytes", shape_kv_layers(&s->shape), s->shape.n_kv_heads,
         m->kv_per_token / shape_kv_layers(&s->shape) / s->shape.n_kv_heads, m->kv_per_token);
    explain_kv(lines, s, m);
    line(lines, "total = weights + KV + scratch + streams + vocabulary = %.4f + %.4f + %.4f + %.4f "
         "+ %.4f = %.4f GiB", m->weights / GIB, m->kv / GIB, m->scratch / GIB, m->streams / GIB,
         m->vocabulary / GIB, m->total / GIB);
}

/* ---- arithmetic ----------------------------------------------------------------------------- */

/* "(24 / 3150 GMAC/s + 8.6 / 4044.8 G/s)": seconds of a weight, or of whatever costs so much. */
static void write_cost(char *to, size_t n, struct column_cost c, double macs_per_s,
                       double lanes_per_s)
{
    if (lanes_per_s > 0)
        snprintf(to, n, "(%.8g / %.8g GMAC/s + %.8g / %.8g G/s)", c.macs, macs_per_s * 1e-9,
                 c.lanes, lanes_per_s * 1e-9);
    else snprintf(to, n, "%.8g / %.8g GMAC/s", c.macs, macs_per_s * 1e-9);
}

static double seconds(struct column_cost c, double macs_per_s, double lanes_per_s)
{
    return c.macs / macs_per_s + (lanes_per_s > 0 ? c.lanes / lanes_per_s : 0);
}

static const char *columns_in_words(enum estimate_backend backend, uint32_t type)
{
    switch (backend) {
    case ESTIMATE_CPU:
        if (macs_of_column(type) > 1)
            return "(3.3 x streams, floats and not bytes + columns that unpacking takes as long "
                   "as) / rate";
        return "(streams + columns that unpacking takes as long as) / rate";
    case ESTIMATE_CPU_MATRIX:
        return "(streams + columns that unpacking takes as long as, at the matrix unit's rate; few "
               "streams, and weights that are floats, are the vectors', which are slower) / rate";
    case ESTIMATE_METAL:
        return "(columns in eights / matrix rate + other lane instructions of a weight / their "
               "rate)";
    case ESTIMATE_METAL_TENSORS:
        return "(columns in blocks of 32 / tensor rate + other lane instructions of a weight / "
               "their rate)";
    default: return "streams / rate";
    }
}

static void explain_products(json_t *lines, const struct plan_subject *s, const struct work *w)
{
    const struct rates *r = &s->rates;
    const uint32_t n = s->load.n_streams;
    char cost[120];
    for (uint32_t i = 0; i < w->n_parts; i++) {
        const struct type_weights *p = &w->part[i];
        const struct column_cost c = column_cost(r->backend, p->type, n);
        const double dense = (double)(p->dense + p->head);
        write_cost(cost, sizeof cost, c, r->macs_per_s, r->lanes_per_s);
        if (dense > 0)
            line(lines, "products of %s = weights x %s = %.8g G x %s = %.4f ms",
                 quant_traits(p->type)->name, columns_in_words(r->backend, p->type), dense * 1e-9,
                 cost, 1e3 * dense * seconds(c, r->macs_per_s, r->lanes_per_s));
        if (!w->n_experts || !p->experts) continue;
        const struct column_cost x =
            expert_cost(r->backend, p->type, w->n_experts, w->n_experts_used, n);
        write_cost(cost, sizeof cost, x, r->expert_macs_per_s, r->lanes_per_s);
        line(lines, "experts of %s = weights of all x mean over experts, by how many columns "
             "choose one, of what it computes = %.8g G x %s = %.4f ms", quant_traits(p->type)->name,
             (double)p->experts * 1e-9, cost,
             1e3 * (double)p->experts * seconds(x, r->expert_macs_per_s, r->lanes_per_s));
    }
}

static void explain_attention(json_t *lines, const struct plan_subject *s, const struct work *w,
                              const struct estimate *e)
{
    const struct rates *r = &s->rates;
    const double seen = estimate_seen_tokens(w, s->depth);
    char cost[120];
    if (w->window_share > 0)
        line(lines, "context seen = share of layers with a window x the context within it + of the "
             "others x context = %.8f x %.8g + %.8f x %u = %.4f tokens", w->window_share,
             s->depth < w->window ? s->depth : w->window, 1 - w->window_share, s->depth, seen);
    if (!estimate_backend_is_metal(r->backend)) {
        line(lines, "attention = streams x context seen x MAC of a column with one token of "
             "context / rate = %u x %.8g x %.8g MMAC / %.8g GMAC/s = %.4f ms",
             s->load.n_streams, seen,
             2e-6 * w->n_heads * w->d_head * w->n_layers, r->attend_macs_per_s * 1e-9,
             e->attend_s * 1e3);
        return;
    }
    const struct attend_shape shape = { w->n_heads / w->n_kv_heads, w->d_head, w->k_type,
                                        w->v_type };
    write_cost(cost, sizeof cost, attend_cost(&shape), r->attend_macs_per_s, r->lanes_per_s);
    line(lines, "attention = streams x context seen x layers x KV heads x (MAC of its query heads "
         "in eights / matrix rate + other lane instructions / their rate) = %u x %.8g x %u x %u x "
         "%s = %.4f ms",
         s->load.n_streams, seen, w->n_layers, w->n_kv_heads, cost, e->attend_s * 1e3);
}

/* ---- reads and the step --------------------------------------------------------------------- */

static void explain_reads(json_t *lines, const struct plan_subject *s, const struct work *w,
                          const struct estimate *e)
{
    const double gb_s = s->rates.read_bytes_per_s * 1e-9;
    const unsigned n = s->load.n_streams;
    if (w->n_experts)
        line(lines, "weight reads = (bytes of every step + bytes of all experts x (1 - (1 - chosen "
             "/ experts)^streams)) / rate = (%.8g GB + %.8g GB x (1 - (1 - %u / %u)^%u)) / %.8g "
             "GB/s = %.4f ms", w->step_bytes * 1e-9, w->expert_bytes * 1e-9, w->n_experts_used,
             w->n_experts,
             n, gb_s, e->weights_s * 1e3);
    else
        line(lines, "weight reads = bytes / rate = %.8g GB / %.8g GB/s = %.4f ms",
             w->step_bytes * 1e-9,
             gb_s, e->weights_s * 1e3);
    if (w->state_bytes > 0)
        line(lines, "KV reads = streams x (context seen x KV a token + 2 x what a stream remembers)"
             " / rate = %u x (%.8g x %.8g + 2 x %.8g) / %.8g GB/s = %.4f ms", n,
             estimate_seen_tokens(w, s->depth), w->kv_bytes_per_token, w->state_bytes, gb_s,
             e->kv_s * 1e3);
    else
        line(lines, "KV reads = streams x context seen x KV a token / rate = %u x %.8g x %.8g / "
             "%.8g GB/s = %.4f ms", n, estimate_seen_tokens(w, s->depth), w->kv_bytes_per_token,
             gb_s, e->kv_s * 1e3);
}

static void explain_step(json_t *lines, const struct plan_subject *s, const struct work *w,
                         const struct estimate *e)
{
    const struct rates *r = &s->rates;
    const unsigned n = s->load.n_streams;
    line(lines, "arithmetic = products + attention = %.4f + %.4f = %.4f ms", e->products_s * 1e3,
         e->attend_s * 1e3, e->arithmetic_s * 1e3);
    explain_reads(lines, s, w, e);
    line(lines, "launches = layers x (time a layer + streams x time a column) = %u x (%.8g + %u x "
         "%.8g) us = %.4f ms", w->n_layers, r->layer_s * 1e6, n, r->column_layer_s * 1e6,
         e->launches_s * 1e3);
    if (r->overlaps_in_part)
        line(lines, "step = third root of (arithmetic^3 + reads^3), which hold each other up where "
             "they take alike, + launches = (%.4f^3 + (%.4f + %.4f)^3)^(1/3) + %.4f = %.4f ms",
             e->arithmetic_s * 1e3, e->weights_s * 1e3, e->kv_s * 1e3, e->launches_s * 1e3,
             e->step_s * 1e3);
    else
        line(lines, "step = the longer of arithmetic and reads, + launches = max(%.4f, %.4f + "
             "%.4f) + %.4f = %.4f ms", e->arithmetic_s * 1e3, e->weights_s * 1e3, e->kv_s * 1e3,
             e->launches_s * 1e3, e->step_s * 1e3);
    line(lines, "tok/s = streams / step = %u / %.4f ms = %.2f", n, e->step_s * 1e3, e->tok_s);
    line(lines, "rates of the machine: %s", s->machine.source);
    if (s->machine.spec_source)
        line(lines, "memory and bandwidth stated: %s", s->machine.spec_source);
    line(lines, "usable memory: %s", s->machine.memory_source);
}

json_t *plan_formulas(const struct plan_subject *s)
{
    const struct work w = plan_work_of(s, &s->load);
    const struct plan_memory m = plan_memory_of(s, &s->load);
    const struct estimate e = estimate_decode(&w, &s->rates, s->load.n_streams, s->depth);
    json_t *lines = json_array();
    explain_memory(lines, s, &m);
    explain_products(lines, s, &w);
    explain_attention(lines, s, &w, &e);
    explain_step(lines, s, &w, &e);
    return lines;
}
