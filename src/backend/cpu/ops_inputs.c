/* What every layer gets of the token itself, and the gate that takes it up. */
#include "backend/cpu/phase.h"
#include "backend/cpu/product.h"

/* ---- IN = scale * (norm of project X + rows of the embedding) -------------------------------- */

static void run_quantise_x(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct range cols = range_of(b->batch.n_cols, part);
    for (uint32_t c = cols.first; c < cols.last; c++)
        act_quantise(b, &b->h, p->forms, c, b->batch.n_cols, b->x + c * b->ld_model, 0,
                     b->params.dims.d_model);
}

static void run_layer_inputs(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct layer_inputs *w = p->inputs;
    const struct matrix *m = w->embedding;
    const uint32_t n = m->n_k, d_input = b->params.dims.d_input;
    const struct range cols = range_of(b->batch.n_cols, part);
    float *row = b->layer_row + part.thread * b->ld_in;
    for (uint32_t c = cols.first; c < cols.last; c++) {
        const uint32_t token = (uint32_t)b->batch.token[c];
        float *in = b->layer_in + c * b->ld_in;
        panel_unpack_row(m->format, m->panel + token / PANEL_ROWS * m->panel_bytes,
                         token % PANEL_ROWS, n, row);
        for (uint32_t i = 0; i < n; i++) in[i] *= w->project_scale;
        for (uint32_t i = 0; i < n; i += d_input)
            norm_values(b, &w->norm, in + i, d_input, in + i);
        for (uint32_t i = 0; i < n; i++) in[i] = w->scale * (in[i] + w->embed_scale * row[i]);
    }
}

void cpu_layer_inputs(struct backend *base, const struct layer_inputs *w)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    const uint32_t n_cols = b->batch.n_cols;
    struct phase *p = phase_add(b, run_quantise_x, "quantise");
    p->forms = act_form(w->project.weight);
    product_record(b, "layer inputs", &w->project, &b->h, b->layer_in, b->ld_in);
    p = phase_add(b, run_layer_inputs, "layer inputs");
    p->inputs = w;
    phase_set_cost(b, p, NORM_NS * n_cols * (double)b->ld_in);
}

/* ---- ACT = activation(H gate) * IN ----------------------------------------------------------- */

static void run_gate_input(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const uint32_t d_input = b->params.dims.d_input;
    const struct range cols = range_of(b->batch.n_cols, part);
    for (uint32_t c = cols.first; c < cols.last; c++) {
        float *gate = b->gate + c * b->ld_ff;
        b->k.gate(gate, b->layer_in + c * b->ld_in + (size_t)p->layer * d_input, d_input,
                  p->ffn->activation, gate);
        act_quantise(b, &b->ff, p->forms, c, b->batch.n_cols, gate, 0, d_input);
    }
}

void cpu_gate_input(struct backend *base, const struct linear *gate, uint32_t layer,
                    const struct ffn_params *params)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    phase_want_forms(b, b->writer.h, act_form(gate->weight));
    product_record(b, "gate input", gate, &b->h, b->gate, b->ld_ff);
    b->writer.ff = b->n_phases;
    struct phase *p = phase_add(b, run_gate_input, "gate input");
    p->layer = layer;
    p->ffn = params;
    phase_set_cost(b, p, ACTIVATION_NS * b->batch.n_cols * b->params.dims.d_input);
}
