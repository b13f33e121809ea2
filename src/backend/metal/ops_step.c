/* The beginning of a step, and the operations on whole columns: embed, norm. */
#include <string.h>

#include "backend/metal/attention.h"
#include "backend/metal/metal_internal.h"
#include "backend/metal/sampling.h"

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

/* Timed, an operation is a command buffer of its own: slower, but the GPU says how long it took. */
void metal_end_operation(struct metal_backend *b, const char *name)
{
    if (b->timings.is_on) op_timings_add(&b->timings, name, metal_run_so_far(b));
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
    b->at = (b->at + 1) % METAL_STEPS;
    struct metal_step *step = &b->step[b->at];
    uint32_t *page = step->col_page.bytes;
    b->batch = *batch;
    step->n_outs = batch->n_outs;
    step->pick = batch->pick;
    step->sample = NULL;
    step->is_over = step->has_failed = false;
    memcpy(step->token.bytes, batch->token, batch->n_cols * sizeof *batch->token);
    memcpy(step->pos.bytes, batch->pos, batch->n_cols * sizeof *batch->pos);
    if (batch->n_outs)
        memcpy(step->out_col.bytes, batch->out_col, batch->n_outs * sizeof *batch->out_col);
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
    const struct metal_buffer *picked = metal_sampling_tokens(b, (b->at + 1) % METAL_STEPS);
    const struct metal_buffer *buffers[] = { &embedding->tiles, &b->step[b->at].token, picked,
                                             &b->x, &b->lanes };
    metal_record(b, b->kernel.embed[embedding->format], buffers, 5, &args, sizeof args,
                 embedding->n_chunks, b->batch.n_cols, METAL_SIMDGROUP);
    metal_end_operation(b, "embed");
}

void metal_norm(struct backend *base, const struct vector *weight, float eps)
{
    struct metal_backend *b = (struct metal_backend *)base;
    const struct row_args args = { b->params.dims.d_model, b->ld_model, b->ld_model, eps };
    const struct metal_buffer *buffers[] = { &b->x, &weight->values, &b->h,
                                             &b->step[b->at].out_col };
    metal_record(b, b->kernel.norm, buffers, 4, &args, sizeof args, b->batch.n_cols, 1,
                 NORM_THREADS);
    metal_end_operation(b, "norm");
}

/* ---- pages
 * --------------------------------------------------------------------------------------- */

/* The memory is the host's too, and no step is running. */
void metal_copy_page(struct backend *base, uint32_t to, uint32_t from)
{
    struct metal_backend *b = (struct metal_backend *)base;
    const size_t n = b->kv_layout.page_bytes;
    memcpy((uint8_t *)b->kv.bytes + to * n, (uint8_t *)b->kv.bytes + from * n, n);
}
