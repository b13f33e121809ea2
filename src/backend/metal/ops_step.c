/* Begin and submit, and the operations on whole columns: embed, norm, logits, sample. */
#include <string.h>

#include "backend/metal/attention.h"
#include "backend/metal/metal_internal.h"

enum { NORM_THREADS = 128 };

void metal_record(struct metal_backend *b, const struct metal_pipeline *pipeline,
                  const struct metal_buffer *const *buffer, uint32_t n_buffers, const void *args,
                  uint32_t args_bytes, uint32_t n_x, uint32_t n_y, uint32_t n_threads)
{
    struct metal_dispatch d = {
        .pipeline = pipeline, .n_buffers = n_buffers, .args = args, .args_bytes = args_bytes,
        .n_groups = { n_x, n_y, 1 }, .n_threads = n_threads,
    };
    for (uint32_t i = 0; i < n_buffers; i++) d.buffer[i].buffer = buffer[i];
    metal_dispatch(b->device, &d);
}

/* ---- timing --------------------------------------------------------------------------------- */

/* A failure is kept for submit to tell. Returns the GPU's time. */
static uint64_t run_so_far(struct metal_backend *b)
{
    uint64_t ns = 0;
    pl_err err;
    metal_commit(b->device);
    if (metal_wait(b->device, &ns, &err) && !b->has_failed) {
        b->has_failed = true;
        b->failure = err;
    }
    metal_begin(b->device);
    return ns;
}

void metal_run_so_far(struct metal_backend *b)
{
    run_so_far(b);
}

/* Timed, an operation is a command buffer of its own: slower, but the GPU says how long it took. */
void metal_end_operation(struct metal_backend *b, const char *name)
{
    if (b->timings.is_on) op_timings_add(&b->timings, name, run_so_far(b));
    else metal_barrier(b->device);
}

void metal_timing(struct backend *base, bool on)
{
    op_timings_set(&((struct metal_backend *)base)->timings, on);
}

uint32_t metal_timings(struct backend *base, const char **name, uint64_t *ns, uint32_t max)
{
    return op_timings_take(&((struct metal_backend *)base)->timings, name, ns, max);
}

/* ---- columns -------------------------------------------------------------------------------- */

void metal_begin_step(struct backend *base, const struct batch *batch)
{
    struct metal_backend *b = (struct metal_backend *)base;
    uint32_t *page = b->col_page.bytes;
    b->batch = *batch;
    b->sample = NULL;
    b->has_failed = false;
    memcpy(b->token.bytes, batch->token, batch->n_cols * sizeof *batch->token);
    memcpy(b->pos.bytes, batch->pos, batch->n_cols * sizeof *batch->pos);
    if (batch->n_outs)
        memcpy(b->out_col.bytes, batch->out_col, batch->n_outs * sizeof *batch->out_col);
    for (const struct span *s = batch->span; s < batch->span + batch->n_spans; s++)
        for (uint32_t i = 0; i < s->n_cols; i++)
            page[s->first_col + i] = s->page[(s->first_pos + i) / PAGE_TOKENS];
    metal_attention_begin(b);
    metal_begin(b->device);
}

void metal_embed(struct backend *base, const struct matrix *embedding, float scale)
{
    struct metal_backend *b = (struct metal_backend *)base;
    const struct embed_args args = { embedding->n_chunks, embedding->tile_bytes, b->ld_model,
                                     scale };
    const struct metal_buffer *buffers[] = { &embedding->tiles, &b->token, &b->x, &b->lanes };
    metal_record(b, b->kernel.embed[embedding->format], buffers, 4, &args, sizeof args,
                 embedding->n_chunks, b->batch.n_cols, METAL_SIMDGROUP);
    metal_end_operation(b, "embed");
}

void metal_norm(struct backend *base, const struct vector *weight, float eps)
{
    struct metal_backend *b = (struct metal_backend *)base;
    const struct row_args args = { b->params.dims.d_model, b->ld_model, b->ld_model, eps };
    const struct metal_buffer *buffers[] = { &b->x, &weight->values, &b->h, &b->out_col };
    metal_record(b, b->kernel.norm, buffers, 4, &args, sizeof args, b->batch.n_cols, 1,
                 NORM_THREADS);
    metal_end_operation(b, "norm");
}

void metal_logits(struct backend *base, const struct vector *norm, float eps,
                  const struct matrix *weight)
{
    struct metal_backend *b = (struct metal_backend *)base;
    b->head_norm = norm;
    b->head_eps = eps;
    b->head_weight = weight;
}

void metal_sample(struct backend *base, sample_fn *fn, void *arg)
{
    struct metal_backend *b = (struct metal_backend *)base;
    b->sample = fn;
    b->sample_arg = arg;
}

/* ---- outputs -------------------------------------------------------------------------------- */

/* Outputs [first, last) of the step. */
struct turn {
    struct metal_backend *b;
    uint32_t first, last;
};

static void record_head(const struct turn *t)
{
    struct metal_backend *b = t->b;
    const uint32_t n = t->last - t->first;
    const struct row_args norm = { b->params.dims.d_model, b->ld_model, b->ld_model, b->head_eps };
    const struct row_args largest = { b->params.dims.n_vocab, b->ld_vocab, b->n_logit_blocks, 0 };
    const struct product head = {
        .matrix = b->head_weight, .in = &b->head_in, .out = &b->logit_rows, .ld_in = b->ld_model,
        .ld_out = b->ld_vocab, .n_cols = n, .epilogue = EPILOGUE_STORE, .scale = 1,
    };
    const struct metal_buffer *of_largest[] = { &b->logit_rows, &b->largest };
    struct metal_dispatch d = {
        .pipeline = b->kernel.norm_indexed,
        .n_buffers = 4,
        .args = &norm,
        .args_bytes = sizeof norm,
        .buffer = { { &b->x, 0 },
                    { &b->head_norm->values, 0 },
                    { &b->head_in, 0 },
                    { &b->out_col, t->first * sizeof(uint32_t) } },
        .n_groups = { n, 1, 1 },
        .n_threads = NORM_THREADS,
    };
    metal_dispatch(b->device, &d);
    metal_end_operation(b, "norm");
    metal_product(b, &head);
    metal_end_operation(b, "output head");
    metal_record(b, b->kernel.largest, of_largest, 2, &largest, sizeof largest, b->n_logit_blocks,
                 n, METAL_SIMDGROUP);
    metal_end_operation(b, "output head");
}

static void sample_share(void *arg, uint32_t id, uint32_t n_threads)
{
    const struct turn *t = arg;
    struct metal_backend *b = t->b;
    for (uint32_t o = t->first + id; o < t->last; o += n_threads) {
        const size_t row = o - t->first;
        b->sample(b->sample_arg, o, (float *)b->logit_rows.bytes + row * b->ld_vocab,
                  (float *)b->largest.bytes + row * b->n_logit_blocks);
    }
}

static pl_status finish(struct metal_backend *b, pl_err *err)
{
    metal_commit(b->device);
    const pl_status st = metal_wait(b->device, NULL, err);
    if (st || !b->has_failed) return st;
    *err = b->failure;
    return PL_E_INTERNAL;
}

pl_status metal_submit(struct backend *base, pl_err *err)
{
    struct metal_backend *b = (struct metal_backend *)base;
    const uint32_t n_outs = b->sample ? b->batch.n_outs : 0;
    const uint32_t n_turns = (n_outs + b->params.max_outs - 1) / b->params.max_outs;
    if (!n_turns) return finish(b, err);
    for (uint32_t i = 0; i < n_turns; i++) {
        struct turn t = { b, (uint32_t)((uint64_t)n_outs * i / n_turns),
                          (uint32_t)((uint64_t)n_outs * (i + 1) / n_turns) };
        if (i) metal_begin(b->device);
        record_head(&t);
        const pl_status st = finish(b, err);
        if (st) return st;
        thread_pool_run(b->pool, sample_share, &t);
    }
    return PL_OK;
}

/* The memory is the host's too, and no step is running. */
void metal_copy_page(struct backend *base, uint32_t to, uint32_t from)
{
    struct metal_backend *b = (struct metal_backend *)base;
    const size_t n = b->kv_layout.page_bytes;
    memcpy((uint8_t *)b->kv.bytes + to * n, (uint8_t *)b->kv.bytes + from * n, n);
}
