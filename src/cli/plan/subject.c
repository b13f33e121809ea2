#include "cli/plan/subject.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/memory_available.h"
#include "base/status.h"

/* Packed weights carry unpacked scales beside the blocks: measured on Q4_K_M files. */
#define PACKED_SHARE 1.028

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
        .kv_per_token = (double)p->kv_bytes_per_token, .is_exact = true,
    };
}

/* Activations of a step's columns, logits of the streams. */
static double scratch_of(const struct shape *m, uint32_t n_streams)
{
    const double d_ff = m->n_experts ? m->n_experts_used * m->d_expert : m->d_ff;
    const double floats_per_column = 6.0 * m->d_model + 2.0 * (m->n_heads + m->n_kv_heads) *
                                     m->d_head + 3 * d_ff;
    return sizeof(float) * (STEP_TOKENS * floats_per_column + (n_streams + 16.0) * m->n_vocab);
}

static double weight_bytes_of(const struct plan_subject *s, const struct plan_load *load)
{
    struct weights w;
    if (s->is_file)
        return s->machine.kind == MACHINE_CPU ? (double)s->file.weights_bytes
                                              : (double)s->file.weights_bytes / PACKED_SHARE;
    recipe_weights(&s->shape, load->recipe, &w);
    return (double)w.bytes * (s->machine.kind == MACHINE_CPU ? PACKED_SHARE : 1);
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
    m.kv = m.kv_per_token * load->n_streams * ((load->ctx_tokens + 15) / 16 * 16);
    m.total = m.weights + m.kv + m.scratch + m.streams + m.vocabulary;
    return m;
}

static struct work work_of_file(const struct plan_subject *s, double kv_bytes_per_token)
{
    const pl_plan *p = &s->file;
    const double packed = s->machine.kind == MACHINE_CPU ? 1 : PACKED_SHARE;
    const struct weights w = {
        .step_bytes = (uint64_t)((double)p->step_weight_bytes / packed),
        .expert_bytes = (uint64_t)((double)p->expert_weight_bytes / packed),
        .macs_per_token = p->step_macs_per_token,
        .head_macs = (uint64_t)p->n_vocab * p->d_model,
    };
    return work_of_shape(&s->shape, &w, kv_bytes_per_token);
}

struct work plan_work_of(const struct plan_subject *s, const struct plan_load *load)
{
    const double kv = kv_bytes_of(&s->shape, load->k_type, load->v_type);
    struct weights w;
    if (s->is_file) return work_of_file(s, kv);
    recipe_weights(&s->shape, load->recipe, &w);
    struct work work = work_of_shape(&s->shape, &w, kv);
    if (s->machine.kind == MACHINE_CPU) {
        work.step_bytes *= PACKED_SHARE;
        work.expert_bytes *= PACKED_SHARE;
    }
    return work;
}

struct estimate plan_step_of(const struct plan_subject *s, const struct plan_load *load,
                             uint32_t depth)
{
    const struct work work = plan_work_of(s, load);
    return estimate_decode(&work, &s->rates, load->n_streams, depth);
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
        .n_kv_heads = p->n_kv_heads, .d_head = p->d_head, .n_vocab = p->n_vocab,
        .n_experts = p->n_experts, .n_experts_used = p->n_experts_used,
        .window = p->window_tokens, .window_of = p->window_period,
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

void plan_subject_limits(struct plan_subject *s, const char *title, const char *source,
                         double macs_per_s, double read_bytes_per_s)
{
    snprintf(s->title, sizeof s->title, "%s", title);
    s->machine = (struct machine){
        .name = "this", .title = s->title, .kind = MACHINE_CPU, .source = source,
        .memory_bytes = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE),
        .usable_bytes = (double)memory_available(),
    };
    s->rates = rates_of_cpu(macs_per_s, read_bytes_per_s,
                            s->is_file ? !strstr(s->file.quantisation, "_K")
                                       : s->shape.d_model % 256 != 0);
    s->is_this_machine = true;
}

pl_status plan_subject_measure(struct plan_subject *s, uint32_t n_threads, pl_err *err)
{
    pl_machine limits;
    const pl_status st = pl_machine_measure(&limits, NULL, n_threads, err);
    if (st) return st;
    plan_subject_limits(s, limits.cpu_name, "limits measured now; the shares of them that the engine "
                        "reaches are measured as well (docs/performance.md)", limits.macs_per_s,
                        limits.read_bytes_per_s);
    s->is_measured = true;
    return PL_OK;
}
