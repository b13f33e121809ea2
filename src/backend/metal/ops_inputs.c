/* What every layer gets of the token itself, and the gate that takes it up.
 *
 * X is read as it is, without a norm that would keep it small: as halves it is scaled down, and
 * what is made of it scaled up, so that X may grow beyond what a half holds. */
#include "backend/metal/recorder.h"
#include "backend/metal/sampling.h"

#define X_SCALE (1.0f / 64.0f)

/* H = X_SCALE * X */
static void shrink_x(struct metal_backend *b)
{
    const struct row_args args = { b->params.dims.d_model, b->ld_model, b->ld_model, 0, 0, X_SCALE,
                                   false, 0 };
    const struct metal_buffer *buffers[] = { &b->x, &b->h };
    metal_record(b, b->kernel.shrink_rows, buffers, 2, &args, sizeof args, b->batch.n_cols, 1,
                 NORM_THREADS);
    metal_end_operation(b, "norm");
}

/* out = scale * X * w */
static void product_of_x(struct metal_backend *b, const struct linear *w, float scale,
                         const struct metal_buffer *out, uint32_t ld, const char *name)
{
    const struct product p = {
        .matrix = w->weight, .in = &b->h, .out = out, .ld_in = b->ld_model, .ld_out = ld,
        .n_cols = b->batch.n_cols, .epilogue = EPILOGUE_STORE, .scale = scale / X_SCALE,
    };
    shrink_x(b);
    metal_product(b, &p);
    metal_end_operation(b, name);
}

void metal_layer_inputs(struct backend *base, const struct layer_inputs *w)
{
    struct metal_backend *b = (struct metal_backend *)base;
    const struct dims *d = &b->params.dims;
    const struct matrix *m = w->embedding;
    const struct embed_args embed = { m->n_chunks, m->tile_bytes, b->ld_in, w->embed_scale };
    const struct metal_buffer *of_embed[] = {
        &m->tiles, &b->step[b->at].token, metal_sampling_tokens(b, (b->at + 1) % METAL_STEPS),
        &b->layer_row, &b->lanes };
    const struct input_args args = { d->d_input, b->ld_in, w->norm.eps, w->scale };
    const struct metal_buffer *of_inputs[] = { &b->layer_in, &b->layer_row,
                                               &w->norm.weight->values };
    metal_record(b, b->kernel.embed[m->format], of_embed, 5, &embed, sizeof embed, m->n_chunks,
                 b->batch.n_cols, METAL_SIMDGROUP);
    product_of_x(b, &w->project, w->project_scale, &b->layer_in, b->ld_in, "layer inputs");
    metal_record(b, b->kernel.layer_inputs, of_inputs, 3, &args, sizeof args, d->n_layers,
                 b->batch.n_cols, NORM_THREADS);
    metal_end_operation(b, "layer inputs");
}

void metal_gate_input(struct backend *base, const struct linear *gate, uint32_t layer,
                      const struct ffn_params *p)
{
    struct metal_backend *b = (struct metal_backend *)base;
    const uint32_t d_input = b->params.dims.d_input;
    const struct gate_args args = { d_input, b->ld_ff, b->ld_in, layer * d_input, p->activation,
                                    ACT_SCALE };
    const struct metal_buffer *buffers[] = { &b->gate, &b->layer_in, &b->act };
    product_of_x(b, gate, 1, &b->gate, b->ld_ff, "gate input");
    metal_record(b, b->kernel.gate_input, buffers, 3, &args, sizeof args, b->batch.n_cols, 1,
                 NORM_THREADS);
    metal_end_operation(b, "gate input");
}
