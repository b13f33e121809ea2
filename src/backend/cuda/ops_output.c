/* The end of a step: its outputs, and how it is run. */
#include <math.h>

#include "backend/cuda/cuda_internal.h"

void cuda_logits(struct backend *base, const struct head_params *p, const struct matrix *weight)
{
    struct cuda_backend *b = (struct cuda_backend *)base;
    b->head = p;
    b->head_weight = weight;
}

void cuda_sample(struct backend *base, sample_fn *fn, void *arg)
{
    struct cuda_backend *b = (struct cuda_backend *)base;
    b->sample = fn;
    b->sample_arg = arg;
}

/* ---- outputs -------------------------------------------------------------------------------- */

/* Outputs [first, end) of the step. */
struct turn {
    struct cuda_backend *b;
    uint32_t first, end;
};

static uint32_t first_row_of(const struct turn *t)
{
    return t->b->batch.output[t->first].first_row;
}

static void run_head(const struct turn *t, uint32_t n)
{
    struct cuda_backend *b = t->b;
    const struct head_params *head = b->head;
    const struct norm_args norm = {
        .x = b->x, .h = b->head_in, .weight = head->norm.weight->values,
        .col = b->lists.row_col + first_row_of(t), .n = b->params.dims.d_model, .n_cols = n,
        .ld_h = b->ld_model, .eps = head->norm.eps, .is_centred = head->norm.is_centred,
    };
    const struct logits_args logits = {
        .logits = b->logit_rows, .largest = b->largest, .n_rows = n, .ld = b->head_weight->n_rows,
        .n_tokens = backend_n_tokens(&b->params), .n_blocks = b->n_logit_blocks,
        .cap = head->cap,
    };
    b->api->norm(b->device, &norm);
    cuda_product_of(b, b->head_weight, b->head_in, n, head->scale, b->logit_rows);
    b->api->finish_logits(b->device, &logits);
    cuda_end_operation(b, "output head");
    b->api->download(b->device, b->host_logits, b->logit_rows,
                     (uint64_t)n * logits.ld * sizeof *b->logit_rows);
    b->api->download(b->device, b->host_largest, b->largest,
                     (uint64_t)n * logits.n_blocks * sizeof *b->largest);
    cuda_end_operation(b, "logits to the host");
}

/* By the host, and in double: there are few such rows, and they go no further. */
static void norm_in_place(float *x, const struct norm *norm, uint32_t n)
{
    const float *weight = norm->weight->host;
    double sum = 0, squares = 0;
    for (uint32_t i = 0; i < n && norm->is_centred; i++) sum += (double)x[i];
    const double mean = sum / n;
    for (uint32_t i = 0; i < n; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    const double scale = 1 / sqrt(squares / n + (double)norm->eps);
    for (uint32_t i = 0; i < n; i++)
        x[i] = (float)(((double)x[i] - mean) * scale * (double)weight[i]);
}

static struct logit_rows hidden_rows(const struct cuda_backend *b, const struct output *o)
{
    const uint32_t d_model = b->params.dims.d_model;
    float *x = b->host_x + (size_t)o->first_col * d_model;
    for (uint32_t i = 0; i < o->n_cols; i++)
        norm_in_place(x + (size_t)i * d_model, &b->head->norm, d_model);
    return (struct logit_rows){ .hidden = x, .ld_hidden = d_model };
}

static struct logit_rows rows_of_logits(const struct cuda_backend *b, size_t row)
{
    const size_t ld = b->head_weight->n_rows;
    return (struct logit_rows){ .logits = b->host_logits + row * ld,
                                .largest = b->host_largest + row * b->n_logit_blocks,
                                .ld_logits = ld, .ld_largest = b->n_logit_blocks };
}

static void sample_share(void *arg, uint32_t id, uint32_t n_threads)
{
    const struct turn *t = arg;
    const struct cuda_backend *b = t->b;
    for (uint32_t i = t->first + id; i < t->end; i += n_threads) {
        const struct output *o = &b->batch.output[i];
        const struct logit_rows rows = o->kind == OUTPUT_HIDDEN
                                           ? hidden_rows(b, o)
                                           : rows_of_logits(b, o->first_row - first_row_of(t));
        b->sample(b->sample_arg, i, &rows);
    }
}

/* ---- running -------------------------------------------------------------------------------- */

static bool wants_hidden(const struct batch *batch)
{
    for (uint32_t i = 0; i < batch->n_outputs; i++)
        if (batch->output[i].kind == OUTPUT_HIDDEN) return true;
    return false;
}

pl_status cuda_submit(struct backend *base, pl_err *err)
{
    struct cuda_backend *b = (struct cuda_backend *)base;
    const struct batch *batch = &b->batch;
    const uint32_t n_outputs = b->sample ? batch->n_outputs : 0;
    if (!n_outputs) return cuda_wait(b, err);
    if (wants_hidden(batch))
        b->api->download(b->device, b->host_x, b->x,
                         (uint64_t)batch->n_cols * b->params.dims.d_model * sizeof *b->x);
    for (struct turn t = { b, 0, 0 }; t.first < n_outputs; t.first = t.end) {
        t.end = batch_turn_end(batch, t.first, b->params.max_outs);
        const uint32_t n = batch_n_rows(batch, t.first, t.end);
        if (n) run_head(&t, n);
        const pl_status st = cuda_wait(b, err);
        if (st) return st;
        thread_pool_run(b->pool, sample_share, &t);
    }
    return PL_OK;
}
