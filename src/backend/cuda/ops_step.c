/* The beginning of a step, and the operations on whole columns. */
#include <string.h>

#include "backend/cuda/sampling.h"

/* ---- what kernels read of the batch --------------------------------------------------------- */

/* A span's pages up to its last column's; returns how many. */
static uint32_t list_span(const struct cuda_backend *b, const struct cuda_lists *l,
                          const struct span *s, uint32_t n_listed)
{
    const uint32_t n_pages = (s->first_pos + s->n_cols - 1) / PAGE_TOKENS + 1;
    for (uint32_t g = 0; g < b->params.kv.n; g++) {
        memcpy(l->pages[g] + n_listed, s->page[g], n_pages * sizeof **s->page);
        for (uint32_t i = 0; i < s->n_cols; i++)
            l->col_page[g][s->first_col + i] = s->page[g][(s->first_pos + i) / PAGE_TOKENS];
    }
    return n_pages;
}

/* Columns of a span, whose pages are listed from page_at on, in groups; returns how many places of
 * partial results there are now. */
static uint32_t list_groups(struct cuda_step *step, const struct span *s, uint32_t page_at,
                            uint32_t n_places)
{
    for (uint32_t i = 0; i < s->n_cols; i += COLS_A_GROUP) {
        const uint32_t n_left = s->n_cols - i, n = n_left < COLS_A_GROUP ? n_left : COLS_A_GROUP;
        step->host_lists.group[step->n_groups++] = (struct col_group){
            .first_col = s->first_col + i, .n_cols = n, .first_pos = s->first_pos + i,
            .page_at = page_at, .place = n_places,
        };
        for (uint32_t k = 0; k < n; k++) n_places += (s->first_pos + i + k) / SPLIT + 1;
    }
    return n_places;
}

static uint32_t list_batch(const struct cuda_backend *b, struct cuda_step *step)
{
    const struct cuda_lists *l = &step->host_lists;
    const struct batch *batch = &step->batch;
    uint32_t n_listed = 0, n_places = 0;
    memcpy(l->token, batch->token, batch->n_cols * sizeof *batch->token);
    memcpy(l->pos, batch->pos, batch->n_cols * sizeof *batch->pos);
    for (const struct output *o = batch->output; o < batch->output + batch->n_outputs; o++)
        for (uint32_t i = 0; i < output_n_rows(o); i++)
            l->row_col[o->first_row + i] = o->first_col + i;
    step->n_groups = 0;
    for (const struct span *s = batch->span; s < batch->span + batch->n_spans; s++) {
        n_places = list_groups(step, s, n_listed, n_places);
        n_listed += list_span(b, l, s, n_listed);
    }
    return n_listed;
}

/* The lists lie in one block up to the page tables. */
static void upload_lists(struct cuda_backend *b, const struct cuda_step *step,
                         uint32_t n_listed)
{
    const struct cuda_lists *from = &step->host_lists, *to = &step->lists;
    const uint64_t n_bytes = (uint64_t)((uint8_t *)from->pages[0] - (uint8_t *)from->token);
    b->api->upload(b->device, to->token, from->token, n_bytes);
    for (uint32_t g = 0; g < b->params.kv.n; g++)
        b->api->upload(b->device, to->pages[g], from->pages[g], n_listed * sizeof(uint32_t));
}

void cuda_begin_step(struct backend *base, const struct batch *batch)
{
    struct cuda_backend *b = (struct cuda_backend *)base;
    b->at = (b->at + 1) % CUDA_STEPS;
    struct cuda_step *step = &b->step[b->at];
    b->batch = step->batch = *batch;
    step->sample = NULL;
    cuda_end_operation(b, NULL);
    upload_lists(b, step, list_batch(b, step));
    cuda_end_operation(b, "lists");
}

/* ---- X -------------------------------------------------------------------------------------- */

void cuda_embed(struct backend *base, const struct matrix *embedding, float scale)
{
    struct cuda_backend *b = (struct cuda_backend *)base;
    const struct embed_args args = {
        .tiles = embedding->tiles, .format = embedding->format, .n_blocks = embedding->n_blocks,
        .d_model = b->params.dims.d_model, .n_cols = b->batch.n_cols,
        .token = b->step[b->at].lists.token,
        .picked = cuda_sampling_tokens(b, (b->at + 1) % CUDA_STEPS), .scale = scale, .x = b->x,
    };
    cuda_launch(b, CUDA_embed, &args, sizeof args);
    cuda_end_operation(b, "embed");
}

static uint64_t x_bytes(const struct cuda_backend *b)
{
    return (uint64_t)b->batch.n_cols * b->params.dims.d_model * sizeof *b->x;
}

void cuda_put_x(struct backend *base, const float *rows)
{
    struct cuda_backend *b = (struct cuda_backend *)base;
    memcpy(b->host_x, rows, x_bytes(b));
    b->api->upload(b->device, b->x, b->host_x, x_bytes(b));
}

/* A failure is told by the next wait. */
void cuda_take_x(struct backend *base, float *rows)
{
    struct cuda_backend *b = (struct cuda_backend *)base;
    pl_err err;
    cuda_flush(b);
    b->api->download(b->device, b->host_x, b->x, x_bytes(b));
    if (!cuda_wait(b, &err)) memcpy(rows, b->host_x, x_bytes(b));
}

void cuda_norm(struct backend *base, const struct norm *norm)
{
    struct cuda_backend *b = (struct cuda_backend *)base;
    const struct norm_args args = {
        .x = b->x, .h = b->h, .weight = norm->weight ? norm->weight->values : NULL,
        .n = b->params.dims.d_model, .n_cols = b->batch.n_cols, .ld_h = b->ld_model,
        .eps = norm->eps, .is_centred = norm->is_centred,
    };
    cuda_launch(b, CUDA_norm, &args, sizeof args);
    cuda_end_operation(b, "norm");
}

/* ---- pages ---------------------------------------------------------------------------------- */

void cuda_copy_page(struct backend *base, uint32_t kv_group, uint32_t to, uint32_t from)
{
    struct cuda_backend *b = (struct cuda_backend *)base;
    uint8_t *pages = b->kv + b->places.first[kv_group];
    const uint64_t n_bytes = b->places.page_bytes[kv_group];
    b->api->copy(b->device, pages + to * n_bytes, pages + from * n_bytes, n_bytes);
}
