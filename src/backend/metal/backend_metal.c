/* The Metal backend's life: plan, open, close, and the table that is its face. */
#include "backend/metal/backend_metal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __APPLE__
#include <pthread.h>
#endif

#include "backend/metal/attention.h"
#include "backend/metal/experts.h"
#include "backend/metal/rates.h"
#include "backend/metal/recorder.h"
#include "backend/metal/sampling.h"
#include "backend/metal/source.h"
#include "backend/params_check.h"
#include "base/cpu_isa.h"
#include "base/log.h"

/* ---- plan ----------------------------------------------------------------------------------- */

static uint32_t scales_bytes(enum kv_type type, uint32_t d_head)
{
    if (type == KV_F8_E4M3) return PAGE_TOKENS * sizeof(float);
    return type == KV_Q8_0 ? d_head / 32 * PAGE_TOKENS * (uint32_t)sizeof(uint16_t) : 0;
}

static uint32_t codes_bytes(enum kv_type type, uint32_t d_head)
{
    return d_head * PAGE_TOKENS * (type == KV_F16 || type == KV_BF16 ? 2 : 1);
}

static struct metal_kv layout_of(const struct backend_params *p, uint32_t d_head)
{
    const uint32_t v_at = scales_bytes(p->k_type, d_head) + codes_bytes(p->k_type, d_head);
    return (struct metal_kv){
        p->k_type, p->v_type, v_at,
        v_at + scales_bytes(p->v_type, d_head) + codes_bytes(p->v_type, d_head),
    };
}

/* b->base.ops is set: it says in how many columns products read and store. */
static void set_shape(struct metal_backend *b, const struct backend_params *params)
{
    const struct dims *d = &params->dims;
    b->params = *params;
    if (!b->params.n_threads) b->params.n_threads = cpu_performance_cores();
    b->n_col_rows = whole(params->max_cols, b->base.ops->column_unit);
    b->ld_model = whole(d->d_model, TILE_ROWS);
    b->ld_q = whole(dims_widest_q(d), TILE_ROWS);
    b->ld_kv = whole(dims_widest_kv(d), TILE_ROWS);
    b->ld_in = whole(d->n_layers * d->d_input, TILE_ROWS);
    b->ld_low = whole(d->d_low, TILE_ROWS);
    b->ld_ff = whole(dims_widest_ff(d), TILE_ROWS);
    b->ld_vocab = whole(d->n_vocab, TILE_ROWS);
    b->n_logit_blocks = (d->n_vocab + LOGIT_BLOCK - 1) / LOGIT_BLOCK;
    b->kv_layout[0] = layout_of(params, d->d_head);
    b->kv_layout[1] = layout_of(params, d->other.d_head);
    b->places = kv_places_of(&params->kv, (uint64_t)d->n_kv_heads * b->kv_layout[0].head_bytes,
                             (uint64_t)d->other.n_kv_heads * b->kv_layout[1].head_bytes, &d->mixer);
}

/* All but the KV pages and what the parts of the backend want. */
static struct workspace workspace_of(struct metal_backend *b)
{
    const uint64_t cols = b->n_col_rows, outs = whole(b->params.max_outs, b->base.ops->column_unit);
    struct workspace w = { 0 };
    workspace_want(&w, "activations", cols * b->ld_model * 4, &b->x);
    workspace_want(&w, "activations", cols * b->ld_model * 4, &b->y);
    workspace_want(&w, "activations", cols * b->ld_model * 2, &b->h);
    workspace_want(&w, "activations", cols * b->ld_q * 4, &b->q);
    workspace_want(&w, "activations", cols * b->ld_kv * 4, &b->k);
    workspace_want(&w, "activations", cols * b->ld_kv * 4, &b->v);
    workspace_want(&w, "activations", cols * b->ld_q * 2, &b->q_half);
    workspace_want(&w, "activations", cols * b->ld_q * 2, &b->att);
    workspace_want(&w, "activations", cols * b->ld_ff * 4, &b->gate);
    workspace_want(&w, "activations", cols * b->ld_ff * 2, &b->act);
    workspace_want(&w, "logits", outs * b->ld_model * 2, &b->head_in);
    workspace_want(&w, "logits", outs * b->ld_vocab * 4, &b->logit_rows);
    workspace_want(&w, "logits", outs * b->n_logit_blocks * 4, &b->largest);
    workspace_want(&w, "lanes", (METAL_SIMDGROUP + 8) * 4, &b->lanes);
    for (struct metal_step *t = b->step; t < b->step + METAL_STEPS; t++) {
        workspace_want(&w, "the batch", cols * 4, &t->token);
        workspace_want(&w, "the batch", cols * 4, &t->pos);
        for (uint32_t g = 0; g < b->params.kv.n; g++)
            workspace_want(&w, "the batch", cols * 4, &t->col_page[g]);
        workspace_want(&w, "the batch", cols * 4, &t->row_col);
    }
    if (b->params.dims.n_tracks) {
        workspace_want(&w, "activations", b->params.dims.n_tracks * cols * b->ld_model * 4,
                       &b->tracks);
        workspace_want(&w, "activations", cols * b->ld_low * 4, &b->low);
        workspace_want(&w, "activations", cols * b->ld_low * 2, &b->low_half);
    }
    if (b->params.dims.has_both_ffs || b->params.dims.n_tracks)
        workspace_want(&w, "activations", cols * b->ld_model * 4, &b->held);
    if (b->params.dims.d_input) {
        workspace_want(&w, "activations", cols * b->ld_in * 4, &b->layer_in);
        workspace_want(&w, "activations", cols * b->ld_in * 4, &b->layer_row);
    }
    if (b->params.dims.has_ff_biases)
        workspace_want(&w, "activations", cols * b->ld_ff * 4, &b->up);
    return w;
}

static struct backend_bytes plan_of(const struct backend_ops *ops,
                                    const struct backend_params *params)
{
    struct metal_backend b = { .base.ops = ops };
    set_shape(&b, params);
    struct backend_bytes bytes = {
        .kv = b.places.n_bytes,
        .scratch = metal_attention_bytes(params) + metal_experts_bytes(params) +
                   metal_sampling_bytes(params),
    };
    const struct workspace w = workspace_of(&b);
    bytes.scratch += metal_workspace_bytes(&w);
    return bytes;
}

/* ---- open ----------------------------------------------------------------------------------- */

static pl_status check_params(const struct backend_params *p, pl_err *err)
{
    if (p->isa)
        return pl_fail(err, PL_E_PARAM, "instruction set \"%.20s\" is of the CPU backend: leave it "
                       "out, or choose that backend", p->isa);
    if (p->dims.latent.d_latent)
        return pl_fail(err, PL_E_UNSUPPORTED, "keys that are latents (attention.kv_lora_rank) are "
                       "not run by this backend: use --backend cpu");
    if (p->dims.d_head > METAL_MAX_D_HEAD || p->dims.other.d_head > METAL_MAX_D_HEAD)
        return pl_fail(err, PL_E_UNSUPPORTED, "heads of more than %d are not run by this backend: "
                       "use --backend cpu", METAL_MAX_D_HEAD);
    return backend_params_check(p, err);
}

static pl_status get_kernels(struct metal_backend *b, pl_err *err)
{
    static const int32_t no = 0, yes = 1;
    struct metal_kernels *k = &b->kernel;
    const struct {
        const char *name;
        const int32_t *constant;
        struct metal_pipeline **to;
    } all[] = {
        { "norm", &no, &k->norm },           { "norm", &yes, &k->norm_indexed },
        { "add_norm", NULL, &k->add_norm },  { "largest", NULL, &k->largest },
        { "add_bias", NULL, &k->add_bias },  { "gate_rows", NULL, &k->gate_rows },
        { "norm_rows", NULL, &k->norm_rows },
        { "finish_queries", NULL, &k->finish_queries },
        { "finish_kv", NULL, &k->finish_kv },
        { "add_rows", NULL, &k->add_rows },  { "scale_rows", NULL, &k->scale_rows },
        { "shrink_rows", NULL, &k->shrink_rows },
        { "layer_inputs", NULL, &k->layer_inputs },
        { "gate_input", NULL, &k->gate_input },
        { "copy_track", NULL, &k->copy_track },
        { "shrink_track", NULL, &k->shrink_track },
        { "match_track", NULL, &k->match_track },
        { "predict_tracks", NULL, &k->predict_tracks },
        { "correct_tracks", NULL, &k->correct_tracks },
        { "join_tracks", NULL, &k->join_tracks },
        { "hold_rows", NULL, &k->hold_rows }, { "cut_gates", NULL, &k->cut_gates },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const pl_status st = metal_pipeline_get(b->device, all[i].name, all[i].constant,
                                                all[i].constant ? 1 : 0, all[i].to, err);
        if (st) return st;
    }
    return PL_OK;
}

static pl_status take_buffers(struct metal_backend *b, pl_err *err)
{
    struct workspace w = workspace_of(b);
    workspace_want(&w, "KV pages", b->places.n_bytes, &b->kv);
    return metal_workspace_take(b, &w, err);
}

/* What a compiler said, in full. */
static void tell(char *log)
{
    char *rest;
    for (char *line = log ? strtok_r(log, "\n", &rest) : NULL; line;
         line = strtok_r(NULL, "\n", &rest))
        PL_LOG(ERROR, "metal", "%s", line);
    free(log);
}

/* For who asked for them by name: nobody has run them yet. */
static pl_status add_tensors(struct metal_backend *b, pl_err *err)
{
    char *log;
    if (!metal_device_facts(b->device)->has_tensors)
        return pl_fail(err, PL_E_UNSUPPORTED, "%s has no tensor operations: use --backend metal",
                       metal_device_facts(b->device)->name);
    const pl_status st = metal_device_add_tensors(b->device, metal_tensor_source, &log, err);
    tell(log);
    return st;
}

static pl_status open_device(struct metal_backend *b, pl_err *err)
{
    char *log;
    const pl_status st = metal_device_open(&b->device, metal_source, b->params.pack_dir, &log, err);
    tell(log);
    return !st && b->has_tensors ? add_tensors(b, err) : st;
}

static void close_backend(struct backend *base)
{
    struct metal_backend *b = (struct metal_backend *)base;
    if (!b) return;
    metal_attention_close(b);
    metal_experts_close(b);
    metal_sampling_close(b);
    metal_forget_loaded(b);
    metal_device_close(b->device);
    pack_cache_close(b->pack);      /* whose file the device's buffers lie in */
    thread_pool_close(b->pool);
    free(b);
}

/* Packed weights on disk are for GPUs of one layout of fragments. */
static void open_pack_cache(struct metal_backend *b)
{
    char target[PACK_TARGET_BYTES];
    if (!b->params.pack_dir) return;
    snprintf(target, sizeof target, "metal-%08x",
             (unsigned)hash64(&b->layout, sizeof b->layout));
    const struct pack_key key =
        pack_key_of(b->params.model_hash, target, FRAGMENT_PACK_VERSION);
    b->pack = pack_cache_open(b->params.pack_dir, &key, b->pool);
}

static pl_status open_as(const struct backend_ops *ops, struct backend **out,
                         const struct backend_params *params, pl_err *err)
{
    *out = NULL;
    pl_status st = check_params(params, err);
    if (st) return st;
    struct metal_backend *b = calloc(1, sizeof *b);
    if (!b) return pl_fail(err, PL_E_MEMORY, "no memory for the Metal backend");
    b->base.ops = ops;
    b->has_tensors = ops == &backend_metal_tensors;
    set_shape(b, params);
    st = thread_pool_open(&b->pool, b->params.n_threads, err);
    if (!st) st = open_device(b, err);
    if (!st) st = take_buffers(b, err);
    if (!st) st = metal_attention_open(b, err);
    if (!st) st = metal_experts_open(b, err);
    if (!st) st = metal_sampling_open(b, err);
    if (!st) st = metal_probe(b, err);
    if (!st) st = get_kernels(b, err);
    if (st) {
        close_backend(&b->base);
        return st;
    }
    open_pack_cache(b);
    *out = &b->base;
    return PL_OK;
}

static const char *isa(const struct backend *b)
{
    return metal_device_facts(((const struct metal_backend *)b)->device)->name;
}

static uint32_t n_threads(const struct backend *b)
{
    return ((const struct metal_backend *)b)->params.n_threads;
}

/* The GPU computes, and the caller need only be quick to give it more: no core of its own, but
 * none of the slow ones either. */
static void pin_caller(const struct backend *b)
{
    (void)b;
#ifdef __APPLE__
    pthread_set_qos_class_self_np(QOS_CLASS_USER_INTERACTIVE, 0);
#endif
}

static struct backend_bytes plan(const struct backend_params *params)
{
    return plan_of(&backend_metal, params);
}

static struct backend_bytes plan_tensors(const struct backend_params *params)
{
    return plan_of(&backend_metal_tensors, params);
}

static pl_status open_backend(struct backend **out, const struct backend_params *params,
                              pl_err *err)
{
    return open_as(&backend_metal, out, params, err);
}

static pl_status open_tensors(struct backend **out, const struct backend_params *params,
                              pl_err *err)
{
    return open_as(&backend_metal_tensors, out, params, err);
}

/* All that does not depend on what computes the products. */
#define COMMON_OPERATIONS                                                                          \
    .max_touched = MAX_TOUCHED, .chunk_pages = SPLIT / PAGE_TOKENS,                                \
    .reach = metal_device_reach, .measure = metal_measure, .matrix_bytes = metal_matrix_bytes,     \
    .close = close_backend, .isa = isa, .n_threads = n_threads, .pin_caller = pin_caller,          \
    .load_matrix = metal_load_matrix, .load_vector = metal_load_vector,                            \
    .load_rope = metal_load_rope, .load_done = metal_load_done,                                    \
    .shared_bytes = metal_shared_bytes, .begin = metal_begin_step, .embed = metal_embed,           \
    .tracks_begin = metal_tracks_begin, .tracks_predict = metal_tracks_predict,                    \
    .tracks_correct = metal_tracks_correct, .tracks_end = metal_tracks_end,                        \
    .low_rank = metal_low_rank,                                                                    \
    .layer_inputs = metal_layer_inputs, .put_x = metal_put_x, .take_x = metal_take_x,              \
    .norm = metal_norm, .qkv = metal_qkv, .attend = metal_attend,                                  \
    .attention_add = metal_attention_add, .gate_up = metal_gate_up,                                \
    .gate_input = metal_gate_input, .down_add = metal_down_add,                                    \
    .experts_add = metal_experts_add, .logits = metal_logits, .sample = metal_sample,              \
    .submit = metal_submit, .start = metal_start, .finish = metal_finish,                          \
    .copy_page = metal_copy_page, .timing = metal_timing, .timings = metal_timings

const struct backend_ops backend_metal = {
    .name = "metal", .column_unit = 8, .plan = plan, .open = open_backend, COMMON_OPERATIONS
};

const struct backend_ops backend_metal_tensors = {
    .name = "metal-tensors", .column_unit = TENSOR_COLUMNS, .plan = plan_tensors,
    .open = open_tensors, COMMON_OPERATIONS
};
