/* The beginning of a step, and the operations on whole columns: embed, norm. */
#include <string.h>

#include "backend/metal/attention.h"
#include "backend/metal/recorder.h"
#include "backend/metal/sampling.h"

static void list_col_pages(const struct batch *batch, uint32_t kv_group, uint32_t *col_page)
{
    for (const struct span *s = batch->span; s < batch->span + batch->n_spans; s++)
        for (uint32_t i = 0; i < s->n_cols; i++)
            col_page[s->first_col + i] = s->page[kv_group][(s->first_pos + i) / PAGE_TOKENS];
}

void metal_begin_step(struct backend *base, const struct batch *batch)
{
    struct metal_backend *b = (struct metal_backend *)base;
    b->at = (b->at + 1) % METAL_STEPS;
    struct metal_step *step = &b->step[b->at];
    uint32_t *row_col = step->row_col.bytes;
    b->batch = step->batch = *batch;
    step->sample = NULL;
    step->is_over = step->has_failed = false;
    memcpy(step->token.bytes, batch->token, batch->n_cols * sizeof *batch->token);
    memcpy(step->pos.bytes, batch->pos, batch->n_cols * sizeof *batch->pos);
    for (const struct output *o = batch->output; o < batch->output + batch->n_outputs; o++)
        for (uint32_t i = 0; i < output_n_rows(o); i++)
            row_col[o->first_row + i] = o->first_col + i;
    for (uint32_t g = 0; g < b->params.kv.n; g++) list_col_pages(batch, g, step->col_page[g].bytes);
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

/* X is the host's memory too: what is recorded reads it when the step is submitted. */
void metal_put_x(struct backend *base, const float *rows)
{
    struct metal_backend *b = (struct metal_backend *)base;
    const size_t d_model = b->params.dims.d_model;
    float *x = b->x.bytes;
    for (uint32_t c = 0; c < b->batch.n_cols; c++)
        memcpy(x + (size_t)c * b->ld_model, rows + c * d_model, d_model * sizeof *rows);
}

void metal_take_x(struct backend *base, float *rows)
{
    const struct metal_backend *b = (const struct metal_backend *)base;
    const size_t d_model = b->params.dims.d_model;
    const float *x = b->x.bytes;
    for (uint32_t c = 0; c < b->batch.n_cols; c++)
        memcpy(rows + c * d_model, x + (size_t)c * b->ld_model, d_model * sizeof *rows);
}

void metal_norm(struct backend *base, const struct norm *norm)
{
    struct metal_backend *b = (struct metal_backend *)base;
    const struct row_args args = { b->params.dims.d_model, b->ld_model, b->ld_model,
                                   norm->weight != NULL, norm->eps, 1,
                                   norm->weight && norm->is_centred, 0 };
    const struct metal_buffer *buffers[] = { &b->x, norm->weight ? &norm->weight->values : &b->x,
                                             &b->h, &b->step[b->at].row_col };
    metal_record(b, b->kernel.norm, buffers, 4, &args, sizeof args, b->batch.n_cols, 1,
                 NORM_THREADS);
    metal_end_operation(b, "norm");
}

/* ---- pages ---------------------------------------------------------------------------------- */

/* The memory is the host's too, and no step is running. */
void metal_copy_page(struct backend *base, uint32_t kv_group, uint32_t to, uint32_t from)
{
    struct metal_backend *b = (struct metal_backend *)base;
    kv_places_copy(&b->places, b->kv.bytes, kv_group, to, from);
}
