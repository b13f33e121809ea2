/* A step: the embedding it begins with, norms of whole columns, the logits it ends with. */
#include <math.h>
#include <string.h>

#include "backend/exact/exact_internal.h"
#include "quant/quant.h"

void exact_begin(struct backend *base, const struct batch *batch)
{
    struct exact_backend *b = (struct exact_backend *)base;
    b->batch = *batch;
    for (uint32_t i = 0; i < batch->n_spans; i++)
        for (uint32_t c = 0; c < batch->span[i].n_cols; c++)
            b->span[batch->span[i].first_col + c] = &batch->span[i];
}

pl_status exact_submit(struct backend *b, pl_err *err)
{
    (void)b;
    (void)err;
    return PL_OK;
}

/* ---- X = scale * embedding ------------------------------------------------------------------ */

struct embed {
    const struct matrix *m;
    float scale;
};

static void embed_column(struct exact_backend *b, const void *arg, uint32_t c)
{
    const struct embed *e = arg;
    float *x = b->x + (size_t)c * e->m->n_k;
    const uint8_t *row = e->m->rows + (size_t)b->batch.token[c] * e->m->row_bytes;
    quant_dequantise(e->m->type, row, x, e->m->n_k);
    for (uint32_t i = 0; i < e->m->n_k; i++) x[i] *= e->scale;
}

void exact_embed(struct backend *base, const struct matrix *embedding, float scale)
{
    struct exact_backend *b = (struct exact_backend *)base;
    exact_run(b, "embed", b->batch.n_cols, embed_column, &(struct embed){ embedding, scale });
}

void exact_put_x(struct backend *base, const float *rows)
{
    struct exact_backend *b = (struct exact_backend *)base;
    memcpy(b->x, rows, (size_t)b->batch.n_cols * b->params.dims.d_model * sizeof *rows);
}

void exact_take_x(struct backend *base, float *rows)
{
    const struct exact_backend *b = (const struct exact_backend *)base;
    memcpy(rows, b->x, (size_t)b->batch.n_cols * b->params.dims.d_model * sizeof *rows);
}

/* ---- H = norm of X -------------------------------------------------------------------------- */

static void norm_column(struct exact_backend *b, const void *arg, uint32_t c)
{
    const struct norm *norm = arg;
    const size_t d_model = b->params.dims.d_model, at = c * d_model;
    if (norm->weight) exact_normed(b->x + at, norm, b->h + at);
    else memcpy(b->h + at, b->x + at, d_model * sizeof *b->h);
}

void exact_norm(struct backend *base, const struct norm *norm)
{
    struct exact_backend *b = (struct exact_backend *)base;
    exact_run(b, "norm", b->batch.n_cols, norm_column, norm);
}

/* ---- logits and what is picked from them ---------------------------------------------------- */

void exact_logits(struct backend *base, const struct head_params *p, const struct matrix *weight)
{
    struct exact_backend *b = (struct exact_backend *)base;
    b->head = p;
    b->head_weight = weight;
}

/* Outputs are served in turns of at most max_outs rows of logits. */
struct turn {
    uint32_t first_output, first_row;
    sample_fn *fn;
    void *arg;
};

static void norm_output(struct exact_backend *b, const void *arg, uint32_t o)
{
    const struct turn *t = arg;
    const size_t d_model = b->params.dims.d_model;
    const uint32_t col = batch_col_of_row(&b->batch, t->first_row + o);
    exact_normed(b->x + col * d_model, &b->head->norm, b->y + o * d_model);
}

/* Not a number counts as minus infinity. */
static float largest_of(const float *logits, uint32_t n)
{
    float largest = -INFINITY;
    for (uint32_t i = 0; i < n; i++)
        if (logits[i] > largest) largest = logits[i];
    return largest;
}

static void measure_row(struct exact_backend *b, const void *arg, uint32_t row)
{
    const uint32_t n_tokens = backend_n_tokens(&b->params);
    float *logits = b->logits + (size_t)row * b->params.dims.n_vocab;
    float *largest = b->largest + (size_t)row * b->n_logit_blocks;
    (void)arg;
    for (uint32_t i = 0; i < b->params.dims.n_vocab; i++)
        logits[i] = (float)exact_capped((double)logits[i] * (double)b->head->scale, b->head->cap);
    for (uint32_t i = 0; i < b->n_logit_blocks; i++) {
        const uint32_t first = i * LOGIT_BLOCK, n_left = n_tokens > first ? n_tokens - first : 0;
        largest[i] = largest_of(logits + first, n_left < LOGIT_BLOCK ? n_left : LOGIT_BLOCK);
    }
}

/* In place: nothing of the step reads X after its outputs. */
static struct logit_rows hidden_rows(struct exact_backend *b, const struct output *o)
{
    const size_t d_model = b->params.dims.d_model;
    float *x = b->x + o->first_col * d_model;
    for (uint32_t i = 0; i < o->n_cols; i++)
        exact_normed(x + i * d_model, &b->head->norm, x + i * d_model);
    return (struct logit_rows){ .hidden = x, .ld_hidden = d_model };
}

static struct logit_rows rows_of_logits(const struct exact_backend *b, size_t row)
{
    const uint32_t n_vocab = b->params.dims.n_vocab;
    return (struct logit_rows){ .logits = b->logits + row * n_vocab,
                                .largest = b->largest + row * b->n_logit_blocks,
                                .ld_logits = n_vocab, .ld_largest = b->n_logit_blocks };
}

static void sample_output(struct exact_backend *b, const void *arg, uint32_t i)
{
    const struct turn *t = arg;
    const struct output *o = &b->batch.output[t->first_output + i];
    const struct logit_rows rows = o->kind == OUTPUT_HIDDEN
                                       ? hidden_rows(b, o)
                                       : rows_of_logits(b, o->first_row - t->first_row);
    t->fn(t->arg, t->first_output + i, &rows);
}

/* The logits of a turn's n rows. */
static void compute_head(struct exact_backend *b, const struct turn *t, uint32_t n)
{
    exact_run(b, "norm", n, norm_output, t);
    exact_product(b, "output head", all_rows(&(struct linear){ b->head_weight, NULL }), b->y, n,
                  b->logits);
    exact_run(b, "sample", n, measure_row, NULL);
}

void exact_sample(struct backend *base, sample_fn *fn, void *arg)
{
    struct exact_backend *b = (struct exact_backend *)base;
    for (uint32_t first = 0, end; first < b->batch.n_outputs; first = end) {
        end = batch_turn_end(&b->batch, first, b->params.max_outs);
        const uint32_t n = batch_n_rows(&b->batch, first, end);
        const struct turn t = { first, b->batch.output[first].first_row, fn, arg };
        if (n) compute_head(b, &t, n);
        exact_run(b, "sample", end - first, sample_output, &t);
    }
}

/* ---- between steps -------------------------------------------------------------------------- */

void exact_copy_page(struct backend *base, uint32_t kv_group, uint32_t to, uint32_t from)
{
    struct exact_backend *b = (struct exact_backend *)base;
    kv_places_copy(&b->places, b->kv, kv_group, to, from);
}

void exact_timing(struct backend *base, bool on)
{
    op_timings_set(&((struct exact_backend *)base)->timings, on);
}

uint32_t exact_timings(struct backend *base, const char **name, uint64_t *ns, uint32_t max)
{
    return op_timings_take(&((struct exact_backend *)base)->timings, name, ns, max);
}
