/* The CUDA backend's life: plan, open, close, and the table that is its face. */
#include "backend/cuda/backend_cuda.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/cuda/library.h"
#include "backend/cuda/sampling.h"
#include "backend/params_check.h"
#include "base/cpu_isa.h"

_Static_assert((int)CUDA_PAGE == (int)PAGE_TOKENS && (int)LOGITS_A_BLOCK == (int)LOGIT_BLOCK,
               "as the seam says");

enum { PART_ALIGNMENT = 256 };

/* ---- plan ----------------------------------------------------------------------------------- */

static void set_shape(struct cuda_backend *b, const struct backend_params *params)
{
    const struct dims *d = &params->dims;
    b->params = *params;
    if (!b->params.n_threads) b->params.n_threads = cpu_performance_cores();
    b->ld_model = whole(d->d_model, TILE_K);
    b->ld_q = whole(d->n_heads * d->d_head, TILE_K);
    b->ld_ff = whole(d->d_ff, TILE_K);
    b->n_logit_blocks = (d->n_vocab + LOGIT_BLOCK - 1) / LOGIT_BLOCK;
    b->places = kv_places_of(&params->kv,
                             (uint64_t)d->n_kv_heads * d->d_head * PAGE_TOKENS * 2 * 2, 0,
                             &d->mixer);
}

/* The lists of a step; token first and pages last, as upload_lists wants them. */
static void want_lists(struct workspace *w, const struct backend_params *p, struct cuda_lists *l)
{
    const uint64_t n_bytes = (uint64_t)p->max_cols * 4;
    const char *what = "the batch";
    workspace_want(w, what, n_bytes, &l->token);
    workspace_want(w, what, n_bytes, &l->pos);
    workspace_want(w, what, n_bytes, &l->row_col);
    workspace_want(w, what, p->max_cols * sizeof *l->group, &l->group);
    for (uint32_t g = 0; g < p->kv.n; g++) workspace_want(w, what, n_bytes, &l->col_page[g]);
    for (uint32_t g = 0; g < p->kv.n; g++)
        workspace_want(w, what, n_bytes * p->kv.group[0].n_pages, &l->pages[g]);
}

/* A pass of attention holds one group of columns at least, however long its context. */
static uint64_t attend_places(const struct backend_params *p)
{
    const uint64_t of_col = (uint64_t)p->kv.group[0].n_pages * PAGE_TOKENS / SPLIT + 1;
    const uint64_t most = of_col * COLS_A_GROUP;
    return most > ATTEND_PLACES ? most : ATTEND_PLACES;
}

static struct workspace device_workspace(struct cuda_backend *b)
{
    const struct dims *d = &b->params.dims;
    const uint64_t cols = b->params.max_cols, outs = b->params.max_outs;
    const uint64_t col_rows = whole(b->params.max_cols, BLOCK_COLS);    /* of columns of f16 */
    const uint64_t width_q = (uint64_t)d->n_heads * d->d_head;
    const uint64_t width_kv = (uint64_t)d->n_kv_heads * d->d_head;
    const char *what = "activations";
    struct workspace w = { 0 };
    workspace_want(&w, what, cols * d->d_model * 4, &b->x);
    workspace_want(&w, what, cols * d->d_model * 4, &b->y);
    workspace_want(&w, what, cols * width_q * 4, &b->q);
    workspace_want(&w, what, cols * width_kv * 4, &b->k);
    workspace_want(&w, what, cols * width_kv * 4, &b->v);
    workspace_want(&w, what, cols * d->d_ff * 4, &b->gate);
    workspace_want(&w, what, cols * d->d_ff * 4, &b->up);
    workspace_want(&w, what, col_rows * b->ld_model * 2, &b->h);
    workspace_want(&w, what, col_rows * b->ld_q * 2, &b->att);
    workspace_want(&w, what, col_rows * b->ld_ff * 2, &b->act);
    workspace_want(&w, what, cols * width_q * 2, &b->q_half);
    workspace_want(&w, "logits", (uint64_t)whole(b->params.max_outs, BLOCK_COLS) * b->ld_model * 2,
                   &b->head_in);
    workspace_want(&w, "logits", outs * d->n_vocab * 4, &b->logit_rows);
    workspace_want(&w, "logits", outs * b->n_logit_blocks * 4, &b->largest);
    workspace_want(&w, "partial sums", (uint64_t)PRODUCT_WORKERS * MAX_BLOCK_ROWS * PASS_COLS * 4,
                   &b->product_partial);
    workspace_want(&w, "partial sums", PRODUCT_WORKERS * 4, &b->product_flag);
    workspace_want(&w, "partial sums",
                   attend_places(&b->params) * d->n_heads * (2 + d->d_head) * 4,
                   &b->attend_partial);
    workspace_want(&w, "partial sums", cols * d->n_kv_heads * 4, &b->attend_done);
    for (int i = 0; i < CUDA_STEPS; i++) want_lists(&w, &b->params, &b->step[i].lists);
    cuda_sampling_want_device(b, &w);
    return w;
}

static struct workspace host_workspace(struct cuda_backend *b)
{
    const struct dims *d = &b->params.dims;
    const uint64_t outs = b->params.max_outs;
    struct workspace w = { 0 };
    workspace_want(&w, "weights on their way", 2 * STAGING_BYTES, &b->staging);
    workspace_want(&w, "logits", outs * d->n_vocab * 4, &b->host_logits);
    workspace_want(&w, "logits", outs * b->n_logit_blocks * 4, &b->host_largest);
    workspace_want(&w, "activations", (uint64_t)b->params.max_cols * d->d_model * 4, &b->host_x);
    for (int i = 0; i < CUDA_STEPS; i++) want_lists(&w, &b->params, &b->step[i].host_lists);
    cuda_sampling_want_host(b, &w);
    return w;
}

static uint64_t aligned(uint64_t n_bytes)
{
    return (n_bytes + PART_ALIGNMENT - 1) / PART_ALIGNMENT * PART_ALIGNMENT;
}

static uint64_t bytes_of(const struct workspace *w)
{
    uint64_t n_bytes = 0;
    for (uint32_t i = 0; i < w->n; i++) n_bytes += aligned(w->part[i].n_bytes);
    return n_bytes;
}

static struct backend_bytes plan(const struct backend_params *params)
{
    struct cuda_backend b = { 0 };
    set_shape(&b, params);
    const struct workspace device = device_workspace(&b), host = host_workspace(&b);
    return (struct backend_bytes){ b.places.n_bytes, bytes_of(&device) + bytes_of(&host) };
}

/* ---- open ----------------------------------------------------------------------------------- */

static pl_status check_params(const struct backend_params *p, pl_err *err)
{
    const struct dims *d = &p->dims;
    const struct {
        const char *what;
        bool is_there;
    } missing[] = {
        { "mixtures of experts", d->n_experts },
        { "keys that are latents", d->latent.d_latent },
        { "layers with other heads", d->other.n_heads },
        { "layers with inputs of their own", d->d_input },
        { "residuals side by side", d->n_tracks },
        { "gates of attention", d->has_gates },
        { "heads of more than 256", d->d_head > CUDA_MAX_D_HEAD },
    };
    if (p->isa)
        return pl_fail(err, PL_E_PARAM, "instruction set \"%.20s\" is of the CPU backend: leave it "
                       "out, or choose that backend", p->isa);
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++)
        if (missing[i].is_there)
            return pl_fail(err, PL_E_UNSUPPORTED, "%s are not run by the cuda backend yet: use "
                           "--backend cpu", missing[i].what);
    return backend_params_check(p, err);
}

/* All parts in one block of memory. */
static pl_status take_parts(struct cuda_backend *b, const struct workspace *w, bool is_host,
                            pl_err *err)
{
    char text[CUDA_TEXT_BYTES];
    void *block;
    const uint64_t n_bytes = bytes_of(w);
    if (is_host ? b->api->take_host(b->device, n_bytes, &block, text)
                : b->api->take(b->device, n_bytes, &block, text))
        return pl_fail(err, PL_E_MEMORY, "the backend's buffers: %s", text);
    uint8_t *at = block;
    for (uint32_t i = 0; i < w->n; i++) {
        *(void **)w->part[i].to = at;
        at += aligned(w->part[i].n_bytes);
    }
    return PL_OK;
}

static pl_status take_memory(struct cuda_backend *b, pl_err *err)
{
    char text[CUDA_TEXT_BYTES];
    void *kv;
    const struct workspace device = device_workspace(b), host = host_workspace(b);
    pl_status st = take_parts(b, &device, false, err);
    if (!st) st = take_parts(b, &host, true, err);
    if (st) return st;
    if (b->api->take(b->device, b->places.n_bytes, &kv, text))
        return pl_fail(err, PL_E_MEMORY, "KV pages: %s: lower --ctx-size or --parallel", text);
    b->kv = kv;
    return PL_OK;
}

static void close_backend(struct backend *base)
{
    struct cuda_backend *b = (struct cuda_backend *)base;
    if (!b) return;
    cuda_forget_loaded(b);
    cuda_recorder_close(b);
    if (b->device) b->api->close(b->device);
    thread_pool_close(b->pool);
    free(b);
}

static pl_status open_device(struct cuda_backend *b, pl_err *err)
{
    char text[CUDA_TEXT_BYTES];
    const pl_status st = cuda_library_open(&b->api, NULL, err);
    if (st) return st;
    if (b->api->open(&b->device, &b->facts, text))
        return pl_fail(err, PL_E_UNSUPPORTED, "%s", text);
    return PL_OK;
}

static pl_status open_backend(struct backend **out, const struct backend_params *params,
                              pl_err *err)
{
    *out = NULL;
    pl_status st = check_params(params, err);
    if (st) return st;
    struct cuda_backend *b = calloc(1, sizeof *b);
    if (!b) return pl_fail(err, PL_E_MEMORY, "no memory for the CUDA backend");
    b->base.ops = &backend_cuda;
    set_shape(b, params);
    st = open_device(b, err);
    if (!st) st = thread_pool_open(&b->pool, b->params.n_threads, err);
    if (!st) st = take_memory(b, err);
    if (!st) st = cuda_recorder_open(b, err);
    if (st) close_backend(&b->base);
    else *out = &b->base;
    return st;
}

/* ---- the face ------------------------------------------------------------------------------- */

bool backend_cuda_is_installed(void)
{
    char path[PATH_MAX];
    return cuda_library_find(path, sizeof path);
}

static pl_status reach(char *name, size_t n_bytes, pl_err *err)
{
    const struct cuda_plugin *api;
    struct cuda_facts facts;
    char text[CUDA_TEXT_BYTES];
    const pl_status st = cuda_library_open(&api, NULL, err);
    if (st) return st;
    if (api->reach(&facts, text)) return pl_fail(err, PL_E_UNSUPPORTED, "%s", text);
    snprintf(name, n_bytes, "%s", facts.name);
    return PL_OK;
}

static pl_status measure(uint32_t n_threads, struct backend_rates *out, pl_err *err)
{
    static struct cuda_facts facts;         /* out keeps the name */
    const struct cuda_plugin *api;
    struct cuda_device *device;
    char text[CUDA_TEXT_BYTES];
    pl_status st = cuda_library_open(&api, NULL, err);
    if (st) return st;
    *out = (struct backend_rates){
        .isa = facts.name, .n_threads = n_threads ? n_threads : cpu_performance_cores(),
    };
    if (api->open(&device, &facts, text)) return pl_fail(err, PL_E_UNSUPPORTED, "%s", text);
    if (api->measure(device, &out->macs_per_s, &out->read_bytes_per_s, text))
        st = pl_fail(err, PL_E_INTERNAL, "%s", text);
    api->close(device);
    return st;
}

static const char *isa(const struct backend *b)
{
    return ((const struct cuda_backend *)b)->facts.name;
}

static uint32_t n_threads(const struct backend *b)
{
    return ((const struct cuda_backend *)b)->params.n_threads;
}

/* The GPU computes: the caller need only be quick to give it more. */
static void pin_caller(const struct backend *b)
{
    (void)b;
}

static uint64_t shared_bytes(const struct backend *b)
{
    (void)b;
    return 0;
}

const struct backend_ops backend_cuda = {
    .name = "cuda", .column_unit = 8, .max_touched = MAX_TOUCHED,
    .chunk_pages = SPLIT / PAGE_TOKENS, .kv_type = "f16",
    .reach = reach, .measure = measure, .matrix_bytes = cuda_matrix_bytes, .plan = plan,
    .open = open_backend, .close = close_backend, .isa = isa, .n_threads = n_threads,
    .pin_caller = pin_caller, .load_matrix = cuda_load_matrix, .load_vector = cuda_load_vector,
    .load_rope = cuda_load_rope, .load_done = cuda_load_done, .shared_bytes = shared_bytes,
    .begin = cuda_begin_step, .embed = cuda_embed, .put_x = cuda_put_x, .take_x = cuda_take_x,
    .norm = cuda_norm, .qkv = cuda_qkv, .attend = cuda_attend,
    .attention_add = cuda_attention_add, .gate_up = cuda_gate_up, .down_add = cuda_down_add,
    .logits = cuda_logits, .sample = cuda_sample, .submit = cuda_submit,
    .start = cuda_start, .finish = cuda_finish,
    .copy_page = cuda_copy_page, .timing = cuda_timing, .timings = cuda_timings,
};
