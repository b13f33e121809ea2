#include "cli/plan/subject.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/memory_available.h"
#include "base/status.h"
#include "cli/plan/busy.h"

/* The steps' columns that buffers are made for, unless --ubatch-size says otherwise. */
enum { STEP_TOKENS = 256 };

static bool is_files_own(const struct plan_subject *s, const struct plan_load *load)
{
    return s->is_file && s->is_this_machine && load->n_streams == s->load.n_streams &&
           load->ctx_tokens == s->load.ctx_tokens && load->k_type == s->load.k_type &&
           load->v_type == s->load.v_type;
}

static struct plan_memory memory_of_file(const pl_plan *p)
{
    return (struct plan_memory){
        .weights = (double)p->weights_bytes, .kv = (double)p->kv_bytes,
        .scratch = (double)p->scratch_bytes, .streams = (double)p->stream_bytes,
        .vocabulary = (double)p->vocab_bytes, .total = (double)p->total_bytes,
        .kv_per_token = (double)p->kv_bytes_per_token, .window_kv = (double)p->window_kv_bytes,
        .states = (double)p->state_bytes, .is_exact = true,
    };
}

/* Activations of a step's columns, logits of the streams. */
static double scratch_of(const struct shape *m, uint32_t n_streams)
{
    const double d_ff = m->n_experts ? m->n_experts_used * m->d_expert + m->d_shared : m->d_ff;
    const double floats_per_column = 6.0 * m->d_model + 2.0 * (m->n_heads + m->n_kv_heads) *
                                     m->d_head + 3 * d_ff;
    return sizeof(float) * (STEP_TOKENS * floats_per_column + (n_streams + 16.0) * m->n_vocab);
}

/* ---- weights -------------------------------------------------------------------------------- */

/* By its name; Q8_0 where it has none that is known. */
static uint32_t type_of(const char *name)
{
    for (uint32_t type = 0; type < QUANT_TYPES_END; type++)
        if (quant_traits(type)->name && !strcmp(quant_traits(type)->name, name)) return type;
    return QUANT_Q8_0;
}

/* How many times the file's own backend's bytes another one takes for its commonest type. */
static double repacked(const struct plan_subject *s)
{
    const uint32_t type = type_of(s->file.quantisation);
    return estimate_bytes_a_weight(s->machine.backend, type) /
           estimate_bytes_a_weight(estimate_backend_of(s->file.backend), type);
}

/* All weights of a file count as of its commonest type. */
static struct weights weights_of_file(const pl_plan *p)
{
    struct weights w = { .macs_per_token = p->step_macs_per_token, .n_parts = 1,
                         .head_macs = (uint64_t)p->n_head_rows * p->d_model };
    struct type_weights *part = &w.part[0];
    part->type = type_of(p->quantisation);
    part->head = w.head_macs;
    if (p->n_experts)
        part->experts = (uint64_t)((double)p->expert_weight_bytes /
                                   estimate_bytes_a_weight(estimate_backend_of(p->backend),
                                                         part->type));
    const uint64_t used =
        part->head + (p->n_experts ? part->experts / p->n_experts * p->n_experts_used : 0);
    part->dense = w.macs_per_token > used ? w.macs_per_token - used : 0;
    return w;
}

static double weight_bytes_of(const struct plan_subject *s, const struct plan_load *load)
{
    struct weights w;
    if (s->is_file) return floor((double)s->file.weights_bytes * repacked(s));
    recipe_weights(&s->shape, load->recipe, &w);
    return ceil(weights_packed(&w, s->machine.backend).all);
}

static void set_kv(struct plan_memory *m, const struct plan_subject *s,
                   const struct plan_load *load)
{
    const struct shape *shape = &s->shape;
    const uint32_t n_kv_layers = shape_kv_layers(shape);
    const double per_layer = n_kv_layers ? m->kv_per_token / n_kv_layers : 0;
    const double n_tokens = (double)load->n_streams * ((load->ctx_tokens + 15) / 16 * 16);
    const double n_kept = shape->n_window_layers
        ? kv_window_tokens(shape, s->machine.backend, load->n_streams, load->ctx_tokens,
                           STEP_TOKENS) : 0;
    if (n_kept < n_tokens) m->window_kv = ceil(per_layer * shape->n_window_layers * n_kept);
    const uint32_t n_full = n_kv_layers - (m->window_kv > 0 ? shape->n_window_layers : 0);
    m->states = shape->n_state_layers ? kv_states(load->n_streams) * shape->state_bytes : 0;
    m->kv = m->window_kv + m->states + ceil(per_layer * n_full * n_tokens);
}

struct plan_memory plan_memory_of(const struct plan_subject *s, const struct plan_load *load)
{
    if (is_files_own(s, load)) return memory_of_file(&s->file);
    struct plan_memory m = {
        .weights = weight_bytes_of(s, load),
        .kv_per_token = kv_bytes_of(&s->shape, load->k_type, load->v_type),
        .scratch = scratch_of(&s->shape, load->n_streams),
        .streams = load->n_streams * (load->ctx_tokens * 4.0 + 65536),
        .vocabulary = s->shape.n_vocab * 64.0,
    };
    set_kv(&m, s, load);
    m.total = m.weights + m.kv + m.scratch + m.streams + m.vocabulary;
    return m;
}

bool plan_fits(const struct plan_subject *s, const struct plan_load *load)
{
    return plan_memory_of(s, load).total <= s->machine.usable_bytes;
}

uint32_t plan_most_streams(const struct plan_subject *s, struct plan_load load)
{
    uint32_t low = 0, high = PLAN_MAX_STREAMS + 1;
    while (high - low > 1) {
        load.n_streams = low + (high - low) / 2;
        if (plan_fits(s, &load)) low = load.n_streams;
        else high = load.n_streams;
    }
    return low;
}

struct work plan_work_of(const struct plan_subject *s, const struct plan_load *load)
{
    struct weights w;
    if (s->is_file) w = weights_of_file(&s->file);
    else recipe_weights(&s->shape, load->recipe, &w);
    struct work work =
        work_of_shape(&s->shape, &w, s->machine.backend, load->k_type, load->v_type);
    if (s->is_file) {
        work.step_bytes = (double)s->file.step_weight_bytes * repacked(s);
        work.expert_bytes = (double)s->file.expert_weight_bytes * repacked(s);
    }
    return work;
}

struct estimate plan_step_of(const struct plan_subject *s, const struct plan_load *load,
                             uint32_t depth)
{
    const struct work work = plan_work_of(s, load);
    return estimate_decode(&work, &s->rates, load->n_streams, depth);
}

struct estimate_backend_traits plan_backend(const struct plan_subject *s)
{
    struct estimate_backend_traits t = *estimate_backend_traits(s->machine.backend);
    if (!s->shape.n_state_layers || !estimate_backend_is_metal(s->machine.backend)) return t;
    t.is_there = t.is_default = false;
    t.caveat = "this version's Metal has no kernels for layers with states: the CPU would compute";
    return t;
}

const char *plan_quantisation(const struct plan_subject *s, const struct plan_load *load)
{
    return s->is_file ? s->file.quantisation : recipe_traits(load->recipe)->name;
}

/* ---- what is planned ------------------------------------------------------------------------ */

/* As far as the estimates need it. */
static struct shape shape_of_file(const pl_plan *p)
{
    return (struct shape){
        .name = "file", .n_layers = p->n_layers, .d_model = p->d_model, .n_heads = p->n_heads,
        .n_kv_heads = p->n_kv_heads, .d_head = p->d_head, .n_vocab = p->n_head_rows,
        .n_experts = p->n_experts, .n_experts_used = p->n_experts_used,
        .window = p->window_tokens, .n_window_layers = p->n_window_layers,
        .n_state_layers = p->n_state_layers,
        .n_layers_without_kv = p->n_layers - p->n_kv_layers,
        .state_bytes = (double)p->stream_state_bytes,
        .ctx_tokens = p->model_ctx_tokens,
    };
}

void plan_subject_of_plan(struct plan_subject *s, const pl_plan *plan)
{
    s->file = *plan;
    s->is_file = true;
    s->load.ctx_tokens = plan->ctx_tokens;
    s->shape = shape_of_file(plan);
}

pl_status plan_subject_of_file(struct plan_subject *s, const pl_params *params, pl_err *err)
{
    pl_plan plan;
    const pl_status st = pl_plan_compute(&plan, params, err);
    if (!st) plan_subject_of_plan(s, &plan);
    return st;
}

bool plan_fits_now(const struct plan_subject *s)
{
    return s->file.total_bytes <= memory_available();
}

/* ---- machines ------------------------------------------------------------------------------- */

void plan_subject_machine(struct plan_subject *s, const struct machine *machine)
{
    s->machine = *machine;
    s->rates = rates_of_machine(machine);
    s->is_this_machine = false;
}

void plan_subject_limits(struct plan_subject *s, enum estimate_backend backend, const char *title,
                         const char *source, double macs_per_s, double read_bytes_per_s)
{
    snprintf(s->title, sizeof s->title, "%s", title);
    s->machine = (struct machine){
        .name = "this", .title = s->title, .backend = backend, .source = source,
        .memory_bytes = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE),
        .usable_bytes = (double)memory_available(), .memory_source = "available now",
    };
    s->rates = (estimate_backend_is_metal(backend)  ? rates_of_metal
                : backend == ESTIMATE_CPU_MATRIX ? rates_of_cpu_matrix
                                                 : rates_of_cpu)(macs_per_s, read_bytes_per_s);
    s->is_this_machine = true;
}

pl_status plan_subject_measure(struct plan_subject *s, uint32_t n_threads, pl_err *err)
{
    struct measured_twice m;
    pl_machine first, second;
    measured_before(&m);
    pl_status st = pl_machine_measure(&first, NULL, n_threads, err);
    if (!st) st = pl_machine_measure(&second, NULL, n_threads, err);
    if (st) return st;
    m.macs_per_s[0] = first.macs_per_s;
    m.macs_per_s[1] = second.macs_per_s;
    m.read_bytes_per_s[0] = first.read_bytes_per_s;
    m.read_bytes_per_s[1] = second.read_bytes_per_s;
    /* the isa of an Apple GPU is its name */
    plan_subject_limits(s, !strncmp(first.isa, "Apple", 5)  ? ESTIMATE_METAL
                           : first.matrix_macs_per_s > 0 ? ESTIMATE_CPU_MATRIX
                                                         : ESTIMATE_CPU,
                        first.cpu_name,
                        "limits measured now; the shares of them that the engine reaches are "
                        "measured as well (docs/performance.md)",
                        fmax(first.macs_per_s, second.macs_per_s),
                        fmax(first.read_bytes_per_s, second.read_bytes_per_s));
    s->is_measured = true;
    measured_busy(&m, s->busy, sizeof s->busy);
    return PL_OK;
}

void plan_subject_give(struct plan_subject *s, const struct plan_given *given)
{
    if (given->memory_bytes > 0) {
        s->machine.usable_bytes = given->memory_bytes;
        s->machine.memory_source = "given with --memory";
    }
    if (given->read_bytes_per_s > 0) s->rates.read_bytes_per_s = given->read_bytes_per_s;
    if (given->macs_per_s > 0) {
        const double times = given->macs_per_s / s->rates.macs_per_s;   /* of all its units */
        s->rates.macs_per_s = given->macs_per_s;
        s->rates.expert_macs_per_s *= times;
        if (estimate_backend_is_cpu(s->machine.backend))
            s->rates.attend_macs_per_s = given->macs_per_s;
        else
            s->rates.attend_macs_per_s *= times;
        s->rates.lanes_per_s *= times;
    }
    if (given->read_bytes_per_s > 0 || given->macs_per_s > 0)
        s->machine.source = "given on the command line";
    s->is_given = given->memory_bytes > 0 || given->read_bytes_per_s > 0 || given->macs_per_s > 0;
    if (!s->is_given || s->is_this_machine) return;
    snprintf(s->title, sizeof s->title, "%s, with figures given here", s->machine.title);
    s->machine.title = s->title;
}
