/* What every layer gets of the token itself, and the gate that takes it up. */
#include "backend/exact/exact_internal.h"
#include "quant/quant.h"

/* ---- IN = scale * (norm of project X + rows of the embedding) -------------------------------- */

static void input_column(struct exact_backend *b, const void *arg, uint32_t c)
{
    const struct layer_inputs *w = arg;
    const struct matrix *m = w->embedding;
    const uint32_t d_input = b->params.dims.d_input;
    float *in = b->layer_in + (size_t)c * m->n_k, *row = b->layer_row + (size_t)c * m->n_k;
    quant_dequantise(m->type, m->rows + (size_t)b->batch.token[c] * m->row_bytes, row, m->n_k);
    for (uint32_t i = 0; i < m->n_k; i++) in[i] *= w->project_scale;
    for (uint32_t i = 0; i < m->n_k; i += d_input) exact_normed(in + i, &w->norm, in + i);
    for (uint32_t i = 0; i < m->n_k; i++) in[i] = w->scale * (in[i] + w->embed_scale * row[i]);
}

void exact_layer_inputs(struct backend *base, const struct layer_inputs *w)
{
    struct exact_backend *b = (struct exact_backend *)base;
    exact_product(b, "layer inputs", all_rows(&w->project), b->x, b->batch.n_cols, b->layer_in);
    exact_run(b, "layer inputs", b->batch.n_cols, input_column, w);
}

/* ---- ACT = activation(H gate) * IN ----------------------------------------------------------- */

struct gate {
    uint32_t layer;
    enum activation activation;
};

static void gate_column(struct exact_backend *b, const void *arg, uint32_t c)
{
    const struct gate *g = arg;
    const struct dims *d = &b->params.dims;
    float *gate = b->gate + (size_t)c * d->d_input;
    const float *in = b->layer_in + ((size_t)c * d->n_layers + g->layer) * d->d_input;
    for (uint32_t i = 0; i < d->d_input; i++)
        gate[i] = (float)exact_activated(g->activation, (double)gate[i], (double)in[i]);
}

void exact_gate_input(struct backend *base, const struct linear *gate, uint32_t layer,
                      const struct ffn_params *p)
{
    struct exact_backend *b = (struct exact_backend *)base;
    exact_product(b, "gate input", all_rows(gate), b->h, b->batch.n_cols, b->gate);
    exact_run(b, "gate input", b->batch.n_cols, gate_column,
              &(struct gate){ layer, p->activation });
}
