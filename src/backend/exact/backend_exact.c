/* The exact backend's life: plan, open, close, and the table that is its face. */
#include "backend/exact/backend_exact.h"

#include <stdlib.h>
#include <string.h>

#include "backend/exact/exact_internal.h"
#include "backend/params_check.h"
#include "base/cpu_isa.h"
#include "base/workspace.h"

/* All but the KV pages. */
static struct workspace scratch_of(struct exact_backend *b)
{
    const struct dims *d = &b->params.dims;
    const uint64_t n_cols = b->params.max_cols, n_outs = b->params.max_outs, row = sizeof(float);
    const uint64_t n_q = dims_widest_q(d), n_kv = dims_widest_kv(d);
    const uint64_t n_in = (uint64_t)d->n_layers * d->d_input;
    const uint64_t d_ff = dims_widest_ff(d), d_widest = d_ff > d->d_expert ? d_ff : d->d_expert;
    const uint64_t n_routed = d->n_experts ? n_cols : 0, n_mixed = mixer_width(&d->mixer);
    const char *what = "activations", *experts = "experts";
    struct workspace w = { 0 };
    workspace_want(&w, what, n_cols * d->d_model * row, &b->x);
    workspace_want(&w, what, n_cols * d->d_model * row, &b->h);
    workspace_want(&w, what, n_cols * d->d_model * row, &b->y);
    workspace_want(&w, what, n_cols * n_q * row, &b->q);
    workspace_want(&w, what, n_cols * (n_q > n_mixed ? n_q : n_mixed) * row, &b->attended);
    workspace_want(&w, what, (d->has_gates ? n_cols * n_q : 0) * row, &b->gates);
    workspace_want(&w, "mixers", n_cols * d->mixer.n_channels * row, &b->mix_in);
    workspace_want(&w, "mixers", n_cols * d->mixer.n_channels * row, &b->mix_conv);
    workspace_want(&w, "mixers", n_cols * n_mixed * row, &b->mix_gate);
    workspace_want(&w, what, n_cols * n_kv * row, &b->k);
    workspace_want(&w, what, n_cols * n_kv * row, &b->v);
    workspace_want(&w, what, n_cols * d_widest * row, &b->gate);
    workspace_want(&w, what, n_cols * d_widest * row, &b->up);
    workspace_want(&w, what, d->has_both_ffs || d->n_tracks ? n_cols * d->d_model * row : 0,
                   &b->held);
    workspace_want(&w, what, d->n_tracks * n_cols * d->d_model * row, &b->tracks);
    workspace_want(&w, what, n_cols * (d->d_low + d->latent.d_query) * row, &b->low);
    workspace_want(&w, what, n_cols * dims_latent_rows(d) * row, &b->q_raw);
    workspace_want(&w, what, n_cols * n_in * row, &b->layer_in);
    workspace_want(&w, what, n_cols * n_in * row, &b->layer_row);
    workspace_want(&w, "logits", n_outs * d->n_vocab * row, &b->logits);
    workspace_want(&w, "logits", n_outs * b->n_logit_blocks * row, &b->largest);
    workspace_want(&w, "page tables", n_cols * sizeof *b->span, &b->span);
    workspace_want(&w, experts, n_routed * d->n_experts * row, &b->expert_score);
    workspace_want(&w, experts, n_routed * d->n_experts * row, &b->expert_rank);
    workspace_want(&w, experts, n_routed * d->n_experts * row, &b->expert_weight);
    workspace_want(&w, experts, n_routed * row, &b->shared_weight);
    workspace_want(&w, experts, n_routed * sizeof *b->expert_col, &b->expert_col);
    workspace_want(&w, experts, n_routed * d->d_model * row, &b->expert_h);
    workspace_want(&w, experts, d->has_both_ffs ? n_cols * d->d_model * row : 0, &b->expert_sum);
    return w;
}

/* Of a page, for one layer of these heads: keys and values, or what is both. */
static uint64_t page_bytes(struct heads heads, uint32_t n_parts)
{
    return (uint64_t)heads.n_kv_heads * n_parts * PAGE_TOKENS * heads.d_head * sizeof(float);
}

static void set_params(struct exact_backend *b, const struct backend_params *params)
{
    const struct dims *d = &params->dims;
    b->params = *params;
    b->places = kv_places_of(&params->kv,
                             page_bytes(dims_heads(d, false), d->latent.d_latent ? 1 : 2),
                             page_bytes(d->other, 2), &d->mixer);
    if (!b->params.n_threads) b->params.n_threads = cpu_performance_cores();
    b->n_logit_blocks = (d->n_vocab + LOGIT_BLOCK - 1) / LOGIT_BLOCK;
}

static struct backend_bytes plan(const struct backend_params *params)
{
    struct exact_backend b = { 0 };
    struct backend_bytes bytes = { 0 };

    set_params(&b, params);
    bytes.kv = memory_rounded(b.places.n_bytes);
    const struct workspace w = scratch_of(&b);
    for (uint32_t i = 0; i < w.n; i++) bytes.scratch += memory_rounded(w.part[i].n_bytes);
    return bytes;
}

/* Touched, so that what was planned is resident from the start. */
static pl_status take(struct exact_backend *b, const struct workspace_part *m, pl_err *err)
{
    void *taken = memory_take(&b->memory, m->n_bytes, m->what, err);
    if (!taken) return PL_E_MEMORY;
    memset(taken, 0, m->n_bytes);
    memcpy(m->to, &taken, sizeof taken);
    return b->params.lock_memory && m->n_bytes ? memory_lock(taken, m->n_bytes, err) : PL_OK;
}

static void close_backend(struct backend *base)
{
    struct exact_backend *b = (struct exact_backend *)base;
    if (!b) return;
    thread_pool_close(b->pool);
    memory_free(&b->records);
    memory_free(&b->memory);
    free(b);
}

static pl_status open_backend(struct backend **out, const struct backend_params *params,
                              pl_err *err)
{
    *out = NULL;
    pl_status st = backend_params_check(params, err);
    if (st) return st;
    struct exact_backend *b = calloc(1, sizeof *b);
    if (!b) return pl_fail(err, PL_E_MEMORY, "no memory for the exact backend");
    b->base.ops = &backend_exact;
    set_params(b, params);

    struct workspace w = scratch_of(b);
    workspace_want(&w, "KV pages", b->places.n_bytes, &b->kv);
    st = thread_pool_open(&b->pool, b->params.n_threads, err);
    for (uint32_t i = 0; i < w.n && !st; i++) st = take(b, &w.part[i], err);
    if (st) {
        close_backend(&b->base);
        return st;
    }
    *out = &b->base;
    return PL_OK;
}

static const char *isa(const struct backend *b)
{
    return b->ops->name;
}

static uint32_t n_threads(const struct backend *b)
{
    return ((const struct exact_backend *)b)->params.n_threads;
}

static void pin_caller(const struct backend *b)
{
    thread_pool_pin_caller(((const struct exact_backend *)b)->pool);
}

const struct backend_ops backend_exact = {
    .name = "exact",
    .column_unit = 1,
    .chunk_pages = 1,
    .weighs_expert_inputs = true,
    .kv_type = "f32",
    .measure = exact_measure,
    .matrix_bytes = exact_matrix_bytes,
    .plan = plan,
    .open = open_backend,
    .close = close_backend,
    .isa = isa,
    .n_threads = n_threads,
    .pin_caller = pin_caller,
    .load_matrix = exact_load_matrix,
    .load_vector = exact_load_vector,
    .load_rope = exact_load_rope,
    .load_done = exact_load_done,
    .shared_bytes = exact_shared_bytes,
    .begin = exact_begin,
    .embed = exact_embed,
    .layer_inputs = exact_layer_inputs,
    .tracks_begin = exact_tracks_begin,
    .tracks_predict = exact_tracks_predict,
    .tracks_correct = exact_tracks_correct,
    .tracks_end = exact_tracks_end,
    .low_rank = exact_low_rank,
    .latent_qkv = exact_latent_qkv,
    .latent_values = exact_latent_values,
    .put_x = exact_put_x,
    .take_x = exact_take_x,
    .norm = exact_norm,
    .qkv = exact_qkv,
    .attend = exact_attend,
    .mix = exact_mix,
    .attention_add = exact_attention_add,
    .gate_up = exact_gate_up,
    .gate_input = exact_gate_input,
    .down_add = exact_down_add,
    .experts_add = exact_experts_add,
    .logits = exact_logits,
    .sample = exact_sample,
    .submit = exact_submit,
    .copy_page = exact_copy_page,
    .timing = exact_timing,
    .timings = exact_timings,
};
