#include "cli/plan/json.h"

#include "cli/plan/alternatives.h"
#include "cli/plan/row.h"

static const double GIB = 1073741824.0;
static const uint32_t STREAMS[] = { 1, 5, 10, 20, 30 };
static const uint32_t CONTEXTS[] = { 2048, 4096, 8192, 16384, 32768 };
static const enum kv_type KV_PAIRS[][2] = { { KV_F16, KV_F16 }, { KV_F16, KV_Q8_0 },
                                            { KV_Q8_0, KV_Q8_0 }, { KV_F8_E4M3, KV_F8_E4M3 } };
enum { CHUNK_ALONE = 512, CHUNK_BESIDE = 64 };

/* One hand-over between GPU and CPU by spinning on shared memory: assumed. */
#define SPLIT_CROSSING_S 4e-6

#define N(array) (sizeof(array) / sizeof *(array))

static json_t *streams_json(const struct plan_subject *s)
{
    json_t *rows = json_array();
    const uint32_t most = plan_most_streams(s, s->load);
    bool is_most_there = most == 0;
    for (size_t i = 0; i <= N(STREAMS); i++) {
        struct plan_load load = s->load;
        if (!is_most_there && (i == N(STREAMS) || most <= STREAMS[i])) {
            load.n_streams = most;
            is_most_there = true;
            json_t *row = plan_row_json(s, &load, s->depth);
            json_object_set_new(row, "note", json_string("the most that fit"));
            json_array_append_new(rows, row);
            if (i < N(STREAMS) && most == STREAMS[i]) continue;
        }
        if (i == N(STREAMS)) break;
        load.n_streams = STREAMS[i];
        json_array_append_new(rows, plan_row_json(s, &load, s->depth));
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
        json_t *row = plan_row_json(s, &load, CONTEXTS[i]);     /* all full: the worst case */
        json_object_set_new(row, "most_streams", json_integer(plan_most_streams(s, load)));
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
        json_t *row = plan_row_json(s, &load, s->depth);
        json_object_set_new(row, "k", json_string(kv_type_name(load.k_type)));
        json_object_set_new(row, "v", json_string(kv_type_name(load.v_type)));
        json_object_set_new(row, "most_streams", json_integer(plan_most_streams(s, load)));
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
        json_t *row = plan_row_json(s, &load, s->depth);
        json_object_set_new(row, "quantisation", json_string(recipe_traits(load.recipe)->name));
        json_object_set_new(row, "perplexity", json_real(recipe_traits(load.recipe)->perplexity));
        json_array_append_new(rows, row);
    }
    return rows;
}

static double prefill_s(const struct plan_subject *s, uint32_t n_streams, uint32_t chunk)
{
    const struct work work = plan_work_of(s, &s->load);
    return estimate_prefill_s(&work, &s->rates, s->prompt_tokens, n_streams, s->depth, chunk);
}

static void add_backend(json_t *to, const struct plan_subject *s)
{
    const struct estimate_backend_traits t = plan_backend(s);
    json_object_set_new(to, "backend", json_string(t.name));
    json_object_set_new(to, "backend_available", json_boolean(t.is_there));
    json_object_set_new(to, "backend_default", json_boolean(t.is_default));
    json_object_set_new(to, "caveat", t.caveat ? json_string(t.caveat) : json_null());
}

static json_t *machine_row(const struct plan_subject *s, const char *name)
{
    json_t *row = plan_row_json(s, &s->load, s->depth);
    json_object_set_new(row, "machine", json_string(name));
    json_object_set_new(row, "title", json_string(s->machine.title));
    json_object_set_new(row, "usable_gib", json_real(s->machine.usable_bytes / GIB));
    json_object_set_new(row, "prefill_s", json_real(prefill_s(s, 0, CHUNK_ALONE)));
    add_backend(row, s);
    return row;
}

/* The one that is planned first, where it is no preset as it is. */
static json_t *machines_json(const struct plan_subject *s, const struct plan_extras *x)
{
    json_t *rows = json_array();
    if (s->is_this_machine || s->is_given)
        json_array_append_new(rows, machine_row(s, s->is_this_machine ? "this" : "as given"));
    for (size_t i = 0; i < n_machines; i++) {
        struct plan_subject other = *s;
        plan_subject_machine(&other, &machines[i]);
        json_t *row = machine_row(&other, machines[i].name);
        const double tok_s = json_real_value(json_object_get(row, "tok_s"));
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

static json_t *model_json(const struct plan_subject *s)
{
    struct weights w;
    if (s->is_file)
        return json_pack("{s:s s:s s:s s:I s:I s:I}", "name", s->file.model_name, "quantisation",
                         s->file.quantisation, "source", "file", "parameters",
                         (json_int_t)s->file.n_parameters, "file_bytes",
                         (json_int_t)s->file.file_bytes, "macs_per_token",
                         (json_int_t)s->file.step_macs_per_token);
    recipe_weights(&s->shape, s->load.recipe, &w);
    return json_pack("{s:s s:s s:s s:I s:I s:I}", "name", s->shape.name, "quantisation",
                     recipe_traits(s->load.recipe)->name, "source", "preset", "parameters",
                     (json_int_t)w.n_parameters, "file_bytes", (json_int_t)w.bytes,
                     "macs_per_token", (json_int_t)w.macs_per_token);
}

static json_t *machine_json(const struct plan_subject *s)
{
    const struct machine *m = &s->machine;
    json_t *machine =
        json_pack("{s:s s:s s:s s:o s:o s:f s:f s:s*}", "name", m->name, "title", m->title,
                  "source", m->source, "memory_bytes", plan_bytes_json(m->memory_bytes),
                  "usable_bytes", plan_bytes_json(m->usable_bytes),
                  "gmac_s", s->rates.macs_per_s * 1e-9,
                  "read_gb_s", s->rates.read_bytes_per_s * 1e-9, "spec_source", m->spec_source);
    json_object_set_new(machine, "busy", *s->busy ? json_string(s->busy) : json_null());
    add_backend(machine, s);
    return machine;
}

static json_t *load_json(const struct plan_subject *s)
{
    return json_pack("{s:I s:I s:I s:I s:s s:s}", "streams", (json_int_t)s->load.n_streams,
                     "ctx_tokens", (json_int_t)s->load.ctx_tokens, "depth_tokens",
                     (json_int_t)s->depth, "prompt_tokens", (json_int_t)s->prompt_tokens,
                     "cache_type_k", kv_type_name(s->load.k_type), "cache_type_v",
                     kv_type_name(s->load.v_type));
}

/* The same by the matrix units of the CPU's clusters. */
static json_t *sme_json(const struct plan_subject *s, const struct work *work,
                        const struct estimate *whole_step)
{
    const uint32_t n = s->load.n_streams;
    const double sme = estimate_sme_macs_per_s(work, machine_sme_macs_per_s(&s->machine), n);
    if (sme <= 0) return json_null();
    const struct estimate e =
        estimate_split_decode(work, &s->rates, sme, SPLIT_CROSSING_S, n, s->depth);
    return json_pack("{s:f s:f s:f s:f}", "useful_gmac_s", sme * 1e-9, "cpu_share",
                     estimate_split_share(work, &s->rates, sme, n), "tok_s", e.tok_s, "gain",
                     whole_step->step_s / e.step_s);
}

/* What splitting rows between GPU and CPU would bring, which is not built: by how much a hand-over
 * at SPLIT_CROSSING_S each makes a step shorter, and the longest that still pays. */
static json_t *split_json(const struct plan_subject *s, const struct work *work,
                          const struct estimate *whole_step)
{
    const double cpu = s->machine.cpu_macs_per_s;
    if (cpu <= 0) return json_null();
    const struct estimate at_once =
        estimate_split_decode(work, &s->rates, cpu, 0, s->load.n_streams, s->depth);
    const struct estimate e = estimate_split_decode(work, &s->rates, cpu, SPLIT_CROSSING_S,
                                                    s->load.n_streams, s->depth);
    return json_pack("{s:f s:f s:f s:f s:o}", "cpu_share",
                     estimate_split_share(work, &s->rates, cpu, s->load.n_streams), "tok_s",
                     e.tok_s, "gain", whole_step->step_s / e.step_s, "most_crossing_us",
                     (whole_step->step_s - at_once.step_s) / (SPLIT_CROSSINGS * work->n_layers) *
                         1e6,
                     "sme", sme_json(s, work, whole_step));
}

/* Of a machine whose figures are those of a backend that is not chosen by itself: what the one
 * that is chosen makes of it. */
static json_t *by_default_json(const struct plan_subject *s)
{
    if (s->machine.backend != ESTIMATE_METAL_TENSORS) return json_null();
    struct plan_subject other = *s;
    other.machine.backend = ESTIMATE_METAL;
    other.rates.backend = ESTIMATE_METAL;
    other.rates.macs_per_s = other.rates.expert_macs_per_s;
    const struct estimate e = plan_step_of(&other, &other.load, other.depth);
    return json_pack("{s:s s:f s:f}", "backend", estimate_backend_traits(ESTIMATE_METAL)->name,
                     "tok_s", e.tok_s, "step_ms", e.step_s * 1e3);
}

static json_t *full_step_json(const struct plan_subject *s)
{
    const struct work work = plan_work_of(s, &s->load);
    const struct estimate e = estimate_decode(&work, &s->rates, s->load.n_streams, s->depth);
    const uint32_t ridge = estimate_ridge(&work, &s->rates);
    json_t *step = plan_step_json(&e, s->load.n_streams);
    json_object_set_new(step, "source", json_string("modelled"));
    json_object_set_new(step, "columns_computed",
                        json_integer(columns_computed(s->machine.backend, s->load.n_streams)));
    json_object_set_new(step, "prefill_s", json_real(prefill_s(s, 0, CHUNK_ALONE)));
    json_object_set_new(step, "busy_prefill_s",
                        json_real(prefill_s(s, s->load.n_streams - 1, CHUNK_BESIDE)));
    json_object_set_new(step, "ridge_streams",
                        ridge == UINT32_MAX ? json_null() : json_integer(ridge));
    json_object_set_new(step, "split", split_json(s, &work, &e));
    json_object_set_new(step, "by_default", by_default_json(s));
    return step;
}

json_t *plan_json(const struct plan_subject *s, const struct plan_extras *x)
{
    return json_pack("{s:o s:o s:o s:o s:o s:o s:o s:o s:o s:o s:o s:o}", "model", model_json(s),
                     "machine", machine_json(s), "load", load_json(s), "memory",
                     plan_memory_json(s, &s->load), "alternatives", plan_alternatives_json(s),
                     "step", full_step_json(s), "streams", streams_json(s),
                     "contexts", contexts_json(s), "kv_types", kv_types_json(s),
                     "quantisations", quantisations_json(s), "machines", machines_json(s, x),
                     "heat", heat_json(s, x));
}
