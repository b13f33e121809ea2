#include "cli/plan/json.h"

#include <math.h>

static const double GIB = 1073741824.0;
static const uint32_t STREAMS[] = { 1, 5, 10, 20, 30 };
static const uint32_t CONTEXTS[] = { 2048, 4096, 8192, 16384, 32768 };
static const enum kv_type KV_PAIRS[][2] = { { KV_F16, KV_F16 }, { KV_F16, KV_Q8_0 },
                                            { KV_Q8_0, KV_Q8_0 }, { KV_F8_E4M3, KV_F8_E4M3 } };
enum { MAX_STREAMS = 4096, CHUNK_ALONE = 512, CHUNK_BESIDE = 64 };

#define N(array) (sizeof(array) / sizeof *(array))

static bool fits(const struct plan_subject *s, const struct plan_load *load)
{
    return plan_memory_of(s, load).total <= s->machine.usable_bytes;
}

/* The most streams of the load's context that fit; 0: not even one. */
/* One hand-over between GPU and CPU by spinning on shared memory: assumed. */
#define SPLIT_CROSSING_S 4e-6

static uint32_t most_streams(const struct plan_subject *s, struct plan_load load)
{
    uint32_t low = 0, high = MAX_STREAMS + 1;
    while (high - low > 1) {
        load.n_streams = low + (high - low) / 2;
        if (fits(s, &load)) low = load.n_streams;
        else high = load.n_streams;
    }
    return low;
}

static json_t *step_json(const struct estimate *e, uint32_t n_streams)
{
    return json_pack("{s:f s:f s:f s:f s:f s:s s:f s:f}", "arithmetic_ms", e->arithmetic_s * 1e3,
                     "weights_ms", e->weights_s * 1e3, "kv_ms", e->kv_s * 1e3, "launches_ms",
                     e->launches_s * 1e3, "step_ms", e->step_s * 1e3, "bound",
                     bound_name(e->bound), "tok_s", e->tok_s, "tok_s_stream",
                     e->tok_s / n_streams);
}

static json_t *memory_json(const struct plan_subject *s, const struct plan_load *load)
{
    const struct plan_memory m = plan_memory_of(s, load);
    return json_pack("{s:s s:f s:f s:f s:f s:f s:f s:f s:f s:f s:b}", "source",
                     m.is_exact ? "exact" : "modelled", "weights_bytes", m.weights,
                     "kv_bytes", m.kv, "kv_bytes_per_token", m.kv_per_token, "kv_bytes_per_stream",
                     m.kv / load->n_streams, "scratch_bytes", m.scratch, "other_bytes",
                     m.streams + m.vocabulary, "total_bytes", m.total, "usable_bytes",
                     s->machine.usable_bytes, "headroom_bytes", s->machine.usable_bytes - m.total,
                     "fits", m.total <= s->machine.usable_bytes);
}

/* One row under another load: what a stream count, context, type or quantisation makes of it. */
static json_t *row_json(const struct plan_subject *s, const struct plan_load *load, uint32_t depth)
{
    const struct plan_memory m = plan_memory_of(s, load);
    const struct estimate e = plan_step_of(s, load, depth);
    json_t *row = step_json(&e, load->n_streams);
    json_object_set_new(row, "streams", json_integer(load->n_streams));
    json_object_set_new(row, "ctx_tokens", json_integer(load->ctx_tokens));
    json_object_set_new(row, "depth_tokens", json_integer(depth));
    json_object_set_new(row, "weights_gib", json_real(m.weights / GIB));
    json_object_set_new(row, "kv_gib", json_real(m.kv / GIB));
    json_object_set_new(row, "total_gib", json_real(m.total / GIB));
    json_object_set_new(row, "fits", json_boolean(m.total <= s->machine.usable_bytes));
    return row;
}

static json_t *streams_json(const struct plan_subject *s)
{
    json_t *rows = json_array();
    const uint32_t most = most_streams(s, s->load);
    bool is_most_there = most == 0;
    for (size_t i = 0; i <= N(STREAMS); i++) {
        struct plan_load load = s->load;
        if (!is_most_there && (i == N(STREAMS) || most <= STREAMS[i])) {
            load.n_streams = most;
            is_most_there = true;
            json_t *row = row_json(s, &load, s->depth);
            json_object_set_new(row, "note", json_string("the most that fit"));
            json_array_append_new(rows, row);
            if (i < N(STREAMS) && most == STREAMS[i]) continue;
        }
        if (i == N(STREAMS)) break;
        load.n_streams = STREAMS[i];
        json_array_append_new(rows, row_json(s, &load, s->depth));
    }
    return rows;
}

static json_t *contexts_json(const struct plan_subject *s)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < N(CONTEXTS); i++) {
        struct plan_load load = s->load;
        if (CONTEXTS[i] > s->shape.ctx_tokens) break;
        load.ctx_tokens = CONTEXTS[i];
        json_t *row = row_json(s, &load, CONTEXTS[i]);      /* every context full: the worst case */
        json_object_set_new(row, "most_streams", json_integer(most_streams(s, load)));
        json_array_append_new(rows, row);
    }
    return rows;
}

static json_t *kv_types_json(const struct plan_subject *s)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < N(KV_PAIRS); i++) {
        struct plan_load load = s->load;
        load.k_type = KV_PAIRS[i][0];
        load.v_type = KV_PAIRS[i][1];
        json_t *row = row_json(s, &load, s->depth);
        json_object_set_new(row, "k", json_string(kv_type_name(load.k_type)));
        json_object_set_new(row, "v", json_string(kv_type_name(load.v_type)));
        json_object_set_new(row, "most_streams", json_integer(most_streams(s, load)));
        json_array_append_new(rows, row);
    }
    return rows;
}

static json_t *quantisations_json(const struct plan_subject *s)
{
    json_t *rows = json_array();
    for (unsigned i = 0; !s->is_file && i < N_RECIPES; i++) {
        struct plan_load load = s->load;
        load.recipe = (enum recipe)i;
        json_t *row = row_json(s, &load, s->depth);
        json_object_set_new(row, "quantisation", json_string(recipe_traits(load.recipe)->name));
        json_object_set_new(row, "perplexity", json_real(recipe_traits(load.recipe)->perplexity));
        json_array_append_new(rows, row);
    }
    return rows;
}

static double prefill_s(const struct plan_subject *s, double n_streams, double chunk)
{
    const struct work work = plan_work_of(s, &s->load);
    return estimate_prefill_s(&work, &s->rates, s->prompt_tokens, n_streams, s->depth, chunk);
}

static json_t *machines_json(const struct plan_subject *s, const struct plan_extras *x)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < n_machines; i++) {
        struct plan_subject other = *s;
        other.machine = machines[i];
        other.rates = rates_of_machine(&machines[i]);
        other.is_this_machine = false;
        json_t *row = row_json(&other, &other.load, other.depth);
        const double tok_s = json_real_value(json_object_get(row, "tok_s"));
        json_object_set_new(row, "machine", json_string(machines[i].name));
        json_object_set_new(row, "title", json_string(machines[i].title));
        json_object_set_new(row, "usable_gib", json_real(machines[i].usable_bytes / GIB));
        json_object_set_new(row, "prefill_s", json_real(prefill_s(&other, 0, CHUNK_ALONE)));
        for (size_t j = 0; j < x->n_prices; j++)
            if (x->price[j].machine == &machines[i]) {
                json_object_set_new(row, "price", json_real(x->price[j].amount));
                json_object_set_new(row, "price_per_tok_s", json_real(x->price[j].amount / tok_s));
            }
        json_array_append_new(rows, row);
    }
    return rows;
}

static json_t *heat_json(const struct plan_subject *s, const struct plan_extras *x)
{
    const double tok_s = plan_step_of(s, &s->load, s->depth).tok_s;
    json_t *rows = json_array();
    for (size_t i = 0; i < x->n_heat; i++)
        json_array_append_new(rows, json_pack("{s:f s:f s:f}", "minute", x->heat[i].minute, "share",
                                              x->heat[i].share, "tok_s",
                                              tok_s * x->heat[i].share));
    return rows;
}

static void add_change(json_t *rows, const struct plan_subject *s, const struct plan_load *load,
                       const char *what)
{
    json_t *row = row_json(s, load, s->depth);
    json_object_set_new(row, "change", json_string(what));
    json_array_append_new(rows, row);
}

/* The nearest loads that do fit, each by one change. */
static json_t *alternatives_json(const struct plan_subject *s)
{
    json_t *rows = json_array();
    struct plan_load load = s->load;
    char what[96];

    if (fits(s, &load)) return rows;
    load.n_streams = most_streams(s, s->load);
    if (load.n_streams) {
        snprintf(what, sizeof what, "--parallel %u", load.n_streams);
        add_change(rows, s, &load, what);
    }
    load = s->load;
    while (load.ctx_tokens > 512 && !fits(s, &load)) load.ctx_tokens -= 256;
    if (fits(s, &load)) {
        snprintf(what, sizeof what, "--ctx-size %u", load.ctx_tokens);
        add_change(rows, s, &load, what);
    }
    load = s->load;
    load.k_type = load.v_type = KV_Q8_0;
    if (fits(s, &load)) add_change(rows, s, &load, "--cache-type-k q8_0 --cache-type-v q8_0");
    for (int i = (int)s->load.recipe; !s->is_file && i-- > 0;) {
        load = s->load;
        load.recipe = (enum recipe)i;
        if (!fits(s, &load)) continue;
        snprintf(what, sizeof what, "--quant %s", recipe_traits(load.recipe)->name);
        add_change(rows, s, &load, what);
        break;
    }
    return rows;
}

static json_t *model_json(const struct plan_subject *s)
{
    struct weights w;
    if (s->is_file)
        return json_pack("{s:s s:s s:s s:f s:f s:f}", "name", s->file.model_name, "quantisation",
                         s->file.quantisation, "source", "file", "parameters",
                         (double)s->file.n_parameters, "file_bytes", (double)s->file.file_bytes,
                         "macs_per_token", (double)s->file.step_macs_per_token);
    recipe_weights(&s->shape, s->load.recipe, &w);
    return json_pack("{s:s s:s s:s s:f s:f s:f}", "name", s->shape.name, "quantisation",
                     recipe_traits(s->load.recipe)->name, "source", "preset", "parameters",
                     (double)w.n_parameters, "file_bytes", (double)w.bytes, "macs_per_token",
                     (double)w.macs_per_token);
}

static json_t *machine_json(const struct plan_subject *s)
{
    const struct machine *m = &s->machine;
    return json_pack("{s:s s:s s:s s:f s:f s:f s:f}", "name", m->name, "title", m->title, "source",
                     m->source, "memory_bytes", m->memory_bytes, "usable_bytes", m->usable_bytes,
                     "gmac_s", s->rates.macs_per_s * 1e-9, "read_gb_s",
                     s->rates.read_bytes_per_s * 1e-9);
}

static json_t *load_json(const struct plan_subject *s)
{
    return json_pack("{s:I s:I s:I s:I s:s s:s}", "streams", (json_int_t)s->load.n_streams,
                     "ctx_tokens", (json_int_t)s->load.ctx_tokens, "depth_tokens",
                     (json_int_t)s->depth, "prompt_tokens", (json_int_t)s->prompt_tokens,
                     "cache_type_k", kv_type_name(s->load.k_type), "cache_type_v",
                     kv_type_name(s->load.v_type));
}

/* What splitting rows between GPU and CPU would bring, which is not built: by how much a hand-over
 * at SPLIT_CROSSING_S each makes a step shorter, and the longest that still pays. */
static json_t *split_json(const struct plan_subject *s, const struct work *work,
                          const struct estimate *whole)
{
    const double cpu = s->machine.cpu_macs_per_s, gpu = s->rates.macs_per_s;
    if (cpu <= 0) return json_null();
    const struct estimate at_once =
        estimate_split_decode(work, &s->rates, cpu, 0, s->load.n_streams, s->depth);
    const struct estimate e = estimate_split_decode(work, &s->rates, cpu, SPLIT_CROSSING_S,
                                                    s->load.n_streams, s->depth);
    return json_pack("{s:f s:f s:f s:f}", "cpu_share", cpu / (cpu + gpu), "tok_s", e.tok_s, "gain",
                     whole->step_s / e.step_s, "most_crossing_us",
                     (whole->step_s - at_once.step_s) / (SPLIT_CROSSINGS * work->n_layers) * 1e6);
}

json_t *plan_json(const struct plan_subject *s, const struct plan_extras *x)
{
    const struct work work = plan_work_of(s, &s->load);
    const struct estimate e = estimate_decode(&work, &s->rates, s->load.n_streams, s->depth);
    json_t *step = step_json(&e, s->load.n_streams);
    json_object_set_new(step, "source", json_string("modelled"));
    json_object_set_new(step, "prefill_s", json_real(prefill_s(s, 0, CHUNK_ALONE)));
    json_object_set_new(step, "busy_prefill_s",
                        json_real(prefill_s(s, s->load.n_streams - 1.0, CHUNK_BESIDE)));
    json_object_set_new(step, "ridge_streams", json_real(estimate_ridge(&work, &s->rates)));
    json_object_set_new(step, "split", split_json(s, &work, &e));
    return json_pack("{s:o s:o s:o s:o s:o s:o s:o s:o s:o s:o s:o s:o}", "model", model_json(s),
                     "machine", machine_json(s), "load", load_json(s), "memory",
                     memory_json(s, &s->load), "alternatives", alternatives_json(s), "step", step,
                     "streams", streams_json(s), "contexts", contexts_json(s), "kv_types",
                     kv_types_json(s), "quantisations", quantisations_json(s), "machines",
                     machines_json(s, x), "heat", heat_json(s, x));
}
