/* The CPU backend's life: plan, open, close, and the table that is its face. */
#include "backend/cpu/backend_cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/kernels/attention_walk.h"
#include "backend/cpu/phase.h"
#include "backend/cpu/rates.h"
#include "backend/params_check.h"
#include "base/cpu_isa.h"
#include "base/workspace.h"

enum { PHASES_PER_LAYER = 24, OTHER_PHASES = 8, PHASES_PER_TRACK = 8, LATENT_PHASES = 8 };

static size_t whole_panels(size_t n)
{
    return (n + PANEL_ROWS - 1) / PANEL_ROWS * PANEL_ROWS;
}

static void set_shape(struct cpu_backend *b)
{
    const struct dims *d = &b->params.dims;
    b->ld_model = whole_panels(d->d_model);
    b->ld_q = whole_panels(dims_widest_q(d));
    b->ld_kv = whole_panels(dims_widest_kv(d));
    b->ld_in = whole_panels((size_t)d->n_layers * d->d_input);
    b->ld_low = whole_panels(d->d_low + d->latent.d_query);
    b->ld_raw = whole_panels(dims_latent_rows(d));
    b->ld_head = whole_panels(d->latent.d_latent > d->latent.d_value ? d->latent.d_latent
                                                                     : d->latent.d_value);
    b->ld_ff = whole_panels(dims_widest_ff(d));
    b->ld_expert = whole_panels(d->d_expert);
    b->mix.ld_in = whole_panels(d->mixer.n_channels);
    b->mix.ld_out = whole_panels(mixer_width(&d->mixer));
    b->ld_vocab = whole_panels(d->n_vocab);
    b->n_logit_blocks = (d->n_vocab + LOGIT_BLOCK - 1) / LOGIT_BLOCK;
    b->layout[0] = d->latent.d_latent
                       ? kv_latent_layout_of(d->d_head, b->params.k_type)
                       : kv_layout_of(d->d_head, b->params.k_type, b->params.v_type);
    b->layout[1] = kv_layout_of(d->other.d_head, b->params.k_type, b->params.v_type);
    b->places = kv_places_of(&b->params.kv, (uint64_t)d->n_kv_heads * b->layout[0].n_bytes,
                             (uint64_t)d->other.n_kv_heads * b->layout[1].n_bytes, &d->mixer);
    /* a step has at most max_cols rows of outputs; two turns have more than max_outs together */
    const uint32_t max_outs = b->params.max_outs ? b->params.max_outs : 1;
    const uint32_t n_turns = 2 * ((b->params.max_cols + max_outs - 1) / max_outs);
    b->max_phases = PHASES_PER_LAYER * d->n_layers + 3 * n_turns + OTHER_PHASES +
                    PHASES_PER_TRACK * (d->n_tracks ? d->n_tracks + d->n_layers : 0) +
                    LATENT_PHASES * (d->latent.d_latent ? d->n_layers : 0);
}

/* For rows of two lengths. */
static void want_act_of(struct workspace *w, const struct backend_params *p, struct act *act,
                        const char *what, uint64_t n_k, uint64_t other_n_k, uint64_t n_cols)
{
    /* x256 forms are possible only where rows are whole blocks of 256 */
    const uint64_t n_256 = n_k % 256 ? 0 : n_k / 256, other = other_n_k % 256 ? 0 : other_n_k / 256;
    const uint64_t n_blocks = (n_256 > other ? n_256 : other) * n_cols;
    const uint64_t n_32 = (n_k > other_n_k ? n_k : other_n_k) / 32 * n_cols;
    workspace_want(w, what, n_blocks * sizeof *act->x256, &act->x256);
    workspace_want(w, what, n_blocks * sizeof *act->x256u, &act->x256u);
    workspace_want(w, what, n_32 * sizeof *act->x32, &act->x32);
    workspace_want(w, what, p->has_float_weights ? n_32 * sizeof *act->f32 : 0, &act->f32);
}

static void want_act(struct workspace *w, const struct backend_params *p, struct act *act,
                     const char *what, uint64_t n_k, uint64_t n_cols)
{
    want_act_of(w, p, act, what, n_k, n_k, n_cols);
}

/* For rows of any length up to n_k, of which some may be whole blocks of 256. */
static void want_act_up_to(struct workspace *w, const struct backend_params *p, struct act *act,
                           const char *what, uint64_t n_k, uint64_t n_cols)
{
    want_act_of(w, p, act, what, n_k, n_k / 256 * 256, n_cols);
}

static void want_latents(struct workspace *w, struct cpu_backend *b)
{
    const struct dims *d = &b->params.dims;
    const uint64_t n_cols = b->params.max_cols, n_slices = n_cols * d->n_heads;
    workspace_want(w, "latents", n_cols * b->ld_raw * sizeof(float), &b->q_raw);
    workspace_want(w, "latents", n_slices * b->ld_head * sizeof(float), &b->head_rows);
    want_act_of(w, &b->params, &b->heads, "latents", d->latent.d_plain, d->latent.d_latent,
                n_slices);
}

static void want_experts(struct workspace *w, struct cpu_backend *b)
{
    const struct dims *d = &b->params.dims;
    const uint64_t n_cols = b->params.max_cols, n_pairs = n_cols * d->n_experts_used;
    const struct {
        uint64_t n;
        void *to;
    } words[] = {       /* of 4 bytes each */
        { n_cols * d->n_experts, &b->moe.score }, { n_pairs, &b->moe.chosen },
        { n_cols * d->n_experts, &b->moe.rank },
        { n_pairs, &b->moe.pair },                { n_pairs, &b->moe.weight },
        { n_cols, &b->moe.shared_weight },        { d->n_experts + 1, &b->moe.first_pair },
        { n_pairs, &b->moe.col },                 { n_pairs * b->ld_expert, &b->moe.gate },
        { n_pairs * b->ld_expert, &b->moe.up },   { n_pairs * b->ld_model, &b->moe.out },
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        workspace_want(w, "experts", words[i].n * 4, words[i].to);
    want_act(w, &b->params, &b->moe.h, "experts", d->d_model, n_pairs);
    want_act(w, &b->params, &b->moe.ff, "experts", d->d_expert, n_pairs);
}

static void want_mixers(struct workspace *w, struct cpu_backend *b)
{
    const uint64_t n_cols = b->params.max_cols, row = sizeof(float);
    const uint64_t n_heads = n_cols * b->params.dims.mixer.n_heads;
    workspace_want(w, "mixers", n_cols * b->mix.ld_in * row, &b->mix.in);
    workspace_want(w, "mixers", n_cols * b->mix.ld_in * row, &b->mix.conv);
    workspace_want(w, "mixers", n_cols * b->mix.ld_out * row, &b->mix.gate);
    workspace_want(w, "mixers", n_heads * row, &b->mix.rate);
    workspace_want(w, "mixers", n_heads * row, &b->mix.shrink);
    workspace_want(w, "mixers", b->mix.ld_in * row, &b->mix.ones);
}

/* All but the KV pages. */
static struct workspace scratch_of(struct cpu_backend *b)
{
    const struct dims *d = &b->params.dims;
    const uint64_t n_cols = b->params.max_cols, n_outs = b->params.max_outs, row = sizeof(float);
    const uint64_t n_threads = b->params.n_threads;
    /* no model has mixers and other heads */
    const uint64_t n_other_att = d->mixer.n_taps ? mixer_width(&d->mixer)
                                                 : (uint64_t)d->other.n_heads * d->other.d_head;
    const uint64_t ld_attended = b->ld_q > b->mix.ld_out ? b->ld_q : b->mix.ld_out;
    const char *what = "activations", *phases = "the step's phases";
    struct workspace w = { 0 };
    workspace_want(&w, what, n_cols * b->ld_model * row, &b->x);
    workspace_want(&w, what, n_cols * b->ld_model * row, &b->y);
    workspace_want(&w, what, 2 * n_cols * b->ld_q * row, &b->q);
    workspace_want(&w, what, 2 * n_cols * b->ld_kv * row, &b->k_rows);
    workspace_want(&w, what, 2 * n_cols * b->ld_kv * row, &b->v_rows);
    workspace_want(&w, what, n_cols * ld_attended * row, &b->attended);
    workspace_want(&w, what, (d->has_gates ? n_cols * b->ld_q : 0) * row, &b->gates);
    workspace_want(&w, what, n_cols * b->ld_ff * row, &b->gate);
    workspace_want(&w, what, n_cols * b->ld_ff * row, &b->up);
    workspace_want(&w, what, d->has_both_ffs || d->n_tracks ? n_cols * b->ld_model * row : 0,
                   &b->held);
    workspace_want(&w, what, d->n_tracks * n_cols * b->ld_model * row, &b->tracks);
    workspace_want(&w, what, n_cols * b->ld_low * row, &b->low);
    workspace_want(&w, what, n_cols * b->ld_in * row, &b->layer_in);
    workspace_want(&w, what, n_threads * b->ld_in * row, &b->layer_row);
    workspace_want(&w, "logits", n_outs * b->ld_vocab * row, &b->logit_rows);
    workspace_want(&w, "logits", n_outs * b->n_logit_blocks * row, &b->logit_largest);
    workspace_want(&w, what, n_threads * b->ld_model * row, &b->norm_row);
    want_act(&w, &b->params, &b->h, what, d->d_model, 2 * n_cols);
    if (d->latent.d_latent)
        want_act_up_to(&w, &b->params, &b->att, what, (uint64_t)d->n_heads * d->d_head, n_cols);
    else
        want_act_of(&w, &b->params, &b->att, what, (uint64_t)d->n_heads * d->d_head, n_other_att,
                    n_cols);
    if (d->has_ff_widths) want_act_up_to(&w, &b->params, &b->ff, what, dims_widest_ff(d), n_cols);
    else want_act_of(&w, &b->params, &b->ff, what, d->d_ff, d->d_shared, n_cols);
    want_act(&w, &b->params, &b->head, what, d->d_model, n_outs);
    if (d->d_low + d->latent.d_query)
        want_act(&w, &b->params, &b->narrow, what, d->d_low + d->latent.d_query, n_cols);
    if (d->latent.d_latent) want_latents(&w, b);
    workspace_want(&w, "attention", n_threads * MAX_JOB_ROWS * sizeof *b->attend_state,
                   &b->attend_state);
    for (struct prefix_groups *g = b->groups; g < b->groups + b->params.kv.n; g++) {
        workspace_want(&w, "attention", n_cols * sizeof *g->order, &g->order);
        workspace_want(&w, "attention", n_cols * sizeof *g->group, &g->group);
    }
    workspace_want(&w, phases, b->max_phases * sizeof *b->phase, &b->phase);
    workspace_want(&w, phases, n_threads * sizeof *b->lots, &b->lots);
    if (d->n_experts) want_experts(&w, b);
    if (d->mixer.n_taps) want_mixers(&w, b);
    return w;
}

static void set_params(struct cpu_backend *b, const struct backend_params *params)
{
    b->params = *params;
    if (!b->params.n_threads) b->params.n_threads = cpu_performance_cores();
    set_shape(b);
}

static struct backend_bytes plan(const struct backend_params *params)
{
    struct cpu_backend b = { 0 };
    struct backend_bytes bytes = { 0 };

    set_params(&b, params);
    const struct workspace w = scratch_of(&b);
    for (uint32_t i = 0; i < w.n; i++) bytes.scratch += memory_rounded(w.part[i].n_bytes);
    bytes.kv = memory_rounded(b.places.n_bytes);
    return bytes;
}

struct touched {
    uint8_t *from;
    uint64_t n_bytes;
};

/* Touches a share of every page of memory, so that what was planned is resident from the start. */
static void touch(void *arg, uint32_t id, uint32_t n_threads)
{
    const struct touched *m = arg;
    const uint64_t first = m->n_bytes / n_threads * id;
    const uint64_t last = id + 1 == n_threads ? m->n_bytes : m->n_bytes / n_threads * (id + 1);
    memset(m->from + first, 0, last - first);
}

static pl_status take(struct cpu_backend *b, const struct workspace_part *p, pl_err *err)
{
    struct touched m = { memory_take(&b->memory, p->n_bytes, p->what, err), p->n_bytes };
    if (!m.from) return PL_E_MEMORY;
    memcpy(p->to, &m.from, sizeof m.from);
    thread_pool_run(b->pool, touch, &m);
    return b->params.lock_memory && m.n_bytes ? memory_lock(m.from, m.n_bytes, err) : PL_OK;
}

static void close_backend(struct backend *base)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    if (!b) return;
    thread_pool_close(b->pool);
    pack_cache_close(b->pack);
    memory_free(&b->panels);
    memory_free(&b->memory);
    free(b);
}

static pl_status open_backend(struct backend **out, const struct backend_params *params,
                              pl_err *err)
{
    *out = NULL;
    pl_status st = backend_params_check(params, err);
    if (st) return st;
    struct cpu_backend *b = calloc(1, sizeof *b);
    if (!b) return pl_fail(err, PL_E_MEMORY, "no memory for the CPU backend");
    b->base.ops = &backend_cpu;
    set_params(b, params);

    struct workspace w = scratch_of(b);
    workspace_want(&w, "KV pages", b->places.n_bytes, &b->kv);
    if (!cpu_kernels_get(&b->k, params->isa))
        st = pl_fail(err, PL_E_PARAM, "unknown instruction set \"%.20s\"", params->isa);
    if (!st) st = thread_pool_open(&b->pool, b->params.n_threads, err);
    for (uint32_t i = 0; i < w.n && !st; i++) st = take(b, &w.part[i], err);
    for (size_t i = 0; i < b->mix.ld_in && !st && b->mix.ones; i++) b->mix.ones[i] = 1;
    if (!st && params->pack_dir) {
        char target[PACK_TARGET_BYTES];
        snprintf(target, sizeof target, "cpu-%s", b->k.isa);
        const struct pack_key key =
            pack_key_of(params->model_hash, target, PANEL_LAYOUT_VERSION);
        b->pack = pack_cache_open(params->pack_dir, &key, b->pool);
    }
    if (st) {
        close_backend(&b->base);
        return st;
    }
    *out = &b->base;
    return PL_OK;
}

static const char *isa(const struct backend *b)
{
    return ((const struct cpu_backend *)b)->k.isa;
}

static const char *planned_isa(const char *most)
{
    struct cpu_kernels k;
    cpu_kernels_get(&k, most);
    return k.isa;
}

static uint32_t n_threads(const struct backend *b)
{
    return ((const struct cpu_backend *)b)->params.n_threads;
}

static void pin_caller(const struct backend *b)
{
    thread_pool_pin_caller(((const struct cpu_backend *)b)->pool);
}

const struct backend_ops backend_cpu = {
    .name = "cpu",
    .column_unit = 1,
    .chunk_pages = CHUNK_PAGES,
    .weighs_expert_inputs = true,
    .measure = cpu_measure,
    .matrix_bytes = cpu_matrix_bytes,
    .planned_isa = planned_isa,
    .plan = plan,
    .open = open_backend,
    .close = close_backend,
    .isa = isa,
    .n_threads = n_threads,
    .pin_caller = pin_caller,
    .load_matrix = cpu_load_matrix,
    .load_vector = cpu_load_vector,
    .load_rope = cpu_load_rope,
    .load_done = cpu_load_done,
    .shared_bytes = cpu_shared_bytes,
    .begin = cpu_begin,
    .embed = cpu_embed,
    .layer_inputs = cpu_layer_inputs,
    .tracks_begin = cpu_tracks_begin,
    .tracks_predict = cpu_tracks_predict,
    .tracks_correct = cpu_tracks_correct,
    .tracks_end = cpu_tracks_end,
    .low_rank = cpu_low_rank,
    .latent_qkv = cpu_latent_qkv,
    .latent_values = cpu_latent_values,
    .put_x = cpu_put_x,
    .take_x = cpu_take_x,
    .norm = cpu_norm,
    .qkv = cpu_qkv,
    .attend = cpu_attend,
    .mix = cpu_mix,
    .attention_add = cpu_attention_add,
    .gate_up = cpu_gate_up,
    .gate_input = cpu_gate_input,
    .down_add = cpu_down_add,
    .experts_add = cpu_experts_add,
    .logits = cpu_logits,
    .sample = cpu_sample,
    .submit = cpu_submit,
    .copy_page = cpu_copy_page,
    .timing = cpu_timing,
    .timings = cpu_timings,
};
