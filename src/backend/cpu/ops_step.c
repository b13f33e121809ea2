/* The beginning of a step, and the operations on whole columns: embed, norm, logits, sample. */
#include <string.h>

#include "backend/cpu/phase.h"
#include "backend/cpu/product.h"

void cpu_begin(struct backend *base, const struct batch *batch)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    b->batch = *batch;
    b->n_phases = 0;
    b->writer.h = b->writer.att = b->writer.ff = UINT32_MAX;
    for (uint32_t g = 0; g < b->params.kv.n; g++)
        if (b->params.kv.group[g].n_layers) prefix_groups_find(&b->groups[g], batch, g);
}

static void run_embed(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct matrix *m = p->matrix;
    const struct range cols = range_of(b->batch.n_cols, part);
    for (uint32_t c = cols.first; c < cols.last; c++) {
        const uint32_t row = (uint32_t)b->batch.token[c];
        float *x = b->x + c * b->ld_model;
        panel_unpack_row(m->format, m->panel + row / PANEL_ROWS * m->panel_bytes, row % PANEL_ROWS,
                         m->n_k, x);
        if (p->scale != 1)
            for (uint32_t i = 0; i < m->n_k; i++) x[i] *= p->scale;
    }
}

void cpu_embed(struct backend *base, const struct matrix *embedding, float scale)
{
    struct phase *p = phase_add((struct cpu_backend *)base, run_embed, "embed");
    p->matrix = embedding;
    p->scale = scale;
}

void cpu_put_x(struct backend *base, const float *rows)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    const size_t d_model = b->params.dims.d_model;
    for (uint32_t c = 0; c < b->batch.n_cols; c++)
        memcpy(b->x + c * b->ld_model, rows + c * d_model, d_model * sizeof *rows);
}

void cpu_take_x(struct backend *base, float *rows)
{
    const struct cpu_backend *b = (const struct cpu_backend *)base;
    const size_t d_model = b->params.dims.d_model;
    for (uint32_t c = 0; c < b->batch.n_cols; c++)
        memcpy(rows + c * d_model, b->x + c * b->ld_model, d_model * sizeof *rows);
}

/* out = x less its mean: 16 sums, added up in a tree, the same on every instruction set. */
static void centre(const float *x, uint32_t n, float *out)
{
    float part[16] = { 0 };
    for (uint32_t i = 0; i < n; i += 16)
        for (uint32_t k = 0; k < 16; k++) part[k] += x[i + k];
    for (int width = 8; width > 0; width /= 2)
        for (int k = 0; k < width; k++) part[k] += part[k + width];
    const float mean = part[0] / (float)n;
    for (uint32_t i = 0; i < n; i++) out[i] = x[i] - mean;
}

void norm_values(const struct cpu_backend *b, const struct norm *norm, const float *x, uint32_t n,
                 float *out)
{
    if (norm->is_centred) centre(x, n, out);
    b->k.rms_norm(norm->is_centred ? out : x, norm->weight->values, n, norm->eps, out);
}

void norm_row(const struct cpu_backend *b, const struct norm *norm, const float *x, float *row)
{
    const uint32_t d_model = b->params.dims.d_model;
    if (norm->weight) norm_values(b, norm, x, d_model, row);
    else memcpy(row, x, d_model * sizeof *row);
}

static void run_norm(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const uint32_t d_model = b->params.dims.d_model, n_cols = b->batch.n_cols;
    const uint32_t ld = p->has_leftovers ? 2 * n_cols : n_cols;
    const struct range cols = range_of(n_cols, part);
    float *row = b->norm_row + part.thread * b->ld_model;
    for (uint32_t c = cols.first; c < cols.last; c++) {
        norm_row(b, p->norm, b->x + c * b->ld_model, row);
        act_quantise(b, &b->h, p->forms, c, ld, row, 0, d_model);
        if (!p->has_leftovers) continue;
        b->k.take_off(b->h.x32 + c, ld, row, d_model);
        act_quantise(b, &b->h, p->forms, n_cols + c, ld, row, 0, d_model);
    }
}

void cpu_norm(struct backend *base, const struct norm *norm)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    b->writer.h = b->n_phases;
    struct phase *p = phase_add(b, run_norm, "norm");
    p->norm = norm;
    phase_set_cost(b, p, NORM_NS * b->batch.n_cols * b->params.dims.d_model);
}

/* Outputs are served in turns of at most max_outs rows of logits. */
static void run_head_norm(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const uint32_t d_model = b->params.dims.d_model;
    const struct range rows = range_of(p->n_rows, part);
    float *row = b->norm_row + part.thread * b->ld_model;
    for (uint32_t o = rows.first; o < rows.last; o++) {
        const uint32_t col = batch_col_of_row(&b->batch, p->first_row + o);
        norm_values(b, p->norm, b->x + col * b->ld_model, d_model, row);
        act_quantise(b, &b->head, p->forms, o, p->n_rows, row, 0, d_model);
    }
}

/* Block by block of logits: the largest of each is taken while they are in the cache, so that a
 * sampler need not read whole rows again. */
static void run_head(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const uint32_t n_tokens = backend_n_tokens(&b->params), n_panels = p->matrix->n_panels;
    const struct head_params *h = p->head;
    const bool is_shaped = h->scale != 1 || h->cap != 0;
    const struct range blocks = range_of(b->n_logit_blocks, part);
    for (uint32_t i = blocks.first; i < blocks.last; i++) {
        const uint32_t first = i * LOGIT_BLOCK, n_left = n_tokens > first ? n_tokens - first : 0;
        const uint32_t panel = first / PANEL_ROWS, n = LOGIT_BLOCK / PANEL_ROWS;
        const struct range panels = { panel, n < n_panels - panel ? panel + n : n_panels };
        product_panels(b, p->matrix, &b->head, p->n_rows, panels, b->logit_rows, b->ld_vocab);
        for (uint32_t o = 0; o < p->n_rows; o++) {
            float *logits = b->logit_rows + o * b->ld_vocab + first;
            if (is_shaped) b->k.cap(logits, (panels.last - panel) * PANEL_ROWS, h->scale, h->cap);
            b->logit_largest[o * b->n_logit_blocks + i] =
                b->k.largest(logits, n_left < LOGIT_BLOCK ? n_left : LOGIT_BLOCK);
        }
    }
}

/* In place: nothing of the step reads X after its outputs. */
static struct logit_rows hidden_rows(struct cpu_backend *b, const struct output *o)
{
    float *x = b->x + o->first_col * b->ld_model;
    for (uint32_t i = 0; i < o->n_cols; i++)
        norm_values(b, &b->head_params->norm, x + i * b->ld_model, b->params.dims.d_model,
                    x + i * b->ld_model);
    return (struct logit_rows){ .hidden = x, .ld_hidden = b->ld_model };
}

static struct logit_rows rows_of_logits(const struct cpu_backend *b, uint32_t row)
{
    return (struct logit_rows){ .logits = b->logit_rows + row * b->ld_vocab,
                                .largest = b->logit_largest + row * b->n_logit_blocks,
                                .ld_logits = b->ld_vocab, .ld_largest = b->n_logit_blocks };
}

static void run_sample(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct range outputs = range_of(p->end_output - p->first_output, part);
    for (uint32_t i = outputs.first; i < outputs.last; i++) {
        const struct output *o = &b->batch.output[p->first_output + i];
        const struct logit_rows rows = o->kind == OUTPUT_HIDDEN
                                           ? hidden_rows(b, o)
                                           : rows_of_logits(b, o->first_row - p->first_row);
        p->sample(p->sample_arg, p->first_output + i, &rows);
    }
}

void cpu_logits(struct backend *base, const struct head_params *p, const struct matrix *weight)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    b->head_params = p;
    b->head_weight = weight;
}

static void record_head(struct cpu_backend *b, uint32_t first_row, uint32_t n_rows)
{
    struct phase *p = phase_add(b, run_head_norm, "norm");
    p->norm = &b->head_params->norm;
    p->forms = act_form(b->head_weight);
    p->first_row = first_row;
    p->n_rows = n_rows;
    struct phase *head = phase_add(b, run_head, "output head");
    head->matrix = b->head_weight;
    head->head = b->head_params;
    head->n_rows = n_rows;
    phase_set_cost(b, head, product_cost(b->head_weight, n_rows));
}

static void record_turn(struct cpu_backend *b, uint32_t first, uint32_t end, sample_fn *fn,
                        void *arg)
{
    const uint32_t first_row = b->batch.output[first].first_row;
    const uint32_t n_rows = batch_n_rows(&b->batch, first, end);
    if (n_rows) record_head(b, first_row, n_rows);
    struct phase *sample = phase_add(b, run_sample, "sample");
    sample->first_row = first_row;
    sample->first_output = first;
    sample->end_output = end;
    phase_set_cost(b, sample, SAMPLE_NS * n_rows);
    sample->sample = fn;
    sample->sample_arg = arg;
}

void cpu_sample(struct backend *base, sample_fn *fn, void *arg)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    for (uint32_t first = 0, end; first < b->batch.n_outputs; first = end) {
        end = batch_turn_end(&b->batch, first, b->params.max_outs);
        record_turn(b, first, end, fn, arg);
    }
}

void cpu_copy_page(struct backend *base, uint32_t kv_group, uint32_t to, uint32_t from)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    kv_places_copy(&b->places, b->kv, kv_group, to, from);
}
