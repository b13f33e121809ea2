/* The operations that are mostly a matrix product: attention_add, gate_up, down_add. */
#include <math.h>
#include <string.h>

#include "backend/cpu/phase.h"
#include "backend/cpu/product.h"

/* Columns of gate, up and activation at a time: no more than the first, and no fewer than the last
 * for the sake of an even split. */
enum { FUSED_TILE = 256, SMALL_FUSED_TILE = 64 };

static void run_product_add(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct matrix *m = p->linear->weight;
    const struct range panels = range_of(m->n_panels, part);
    product_panels_add(b, m, p->act, b->batch.n_cols, panels, b->x, b->ld_model);
    product_add_bias_of_panels(b, p->linear->bias, panels, b->x, b->ld_model);
}

void product_join(const struct cpu_backend *b, const struct residual *r, uint32_t col)
{
    const uint32_t d_model = b->params.dims.d_model;
    const size_t at = col * b->ld_model;
    float *x = b->x + at, *y = b->y + at;
    if (r->norm.weight) norm_values(b, &r->norm, y, d_model, y);
    if (r->is_held) {
        memcpy(b->held + at, y, d_model * sizeof *y);
        return;
    }
    if (r->takes_held) b->k.add(y, b->held + at, d_model);
    if (r->takes_held && r->norm_held.weight) norm_values(b, &r->norm_held, y, d_model, y);
    if (r->scale != 1) b->k.cap(y, d_model, r->scale, 0);
    for (uint32_t k = 1; k < b->params.dims.n_tracks && r->joins_tracks; k++)
        b->k.add(track_at(b, k, col), y, d_model);
    if (r->joins_tracks) return;
    b->k.add(x, y, d_model);
    if (r->x_scale != 0) b->k.cap(x, d_model, r->x_scale, 0);
}

static void run_residual(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct range cols = range_of(b->batch.n_cols, part);
    for (uint32_t c = cols.first; c < cols.last; c++) product_join(b, p->residual, c);
}

static void record_add(struct cpu_backend *b, const char *name, const struct linear *w,
                       const struct act *act, const struct residual *r)
{
    struct phase *p = product_record(b, name, w, act, b->y, b->ld_model);
    if (residual_is_plain(r)) {
        p->run = run_product_add;
        return;
    }
    p = phase_add(b, run_residual, "residual");
    p->residual = r;
    phase_set_cost(b, p, NORM_NS * b->batch.n_cols * b->params.dims.d_model);
}

void cpu_attention_add(struct backend *base, const struct linear *w, const struct residual *r)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    phase_want_forms(b, b->writer.att, act_form(w->weight));
    record_add(b, "attention out", w, &b->att, r);
}

void cpu_down_add(struct backend *base, const struct linear *w, const struct residual *r)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    phase_want_forms(b, b->writer.ff, act_form(w->weight));
    record_add(b, "down", w, &b->ff, r);
}

static void run_gate_up(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct matrix *gate = p->linear->weight, *up = p->linear2->weight;
    const struct range panels = range_of(gate->n_panels, part);
    product_panels(b, gate, &b->h, b->batch.n_cols, panels, b->gate, b->ld_ff);
    product_panels(b, up, &b->h, b->batch.n_cols, panels, b->up, b->ld_ff);
    product_add_bias_of_panels(b, p->linear->bias, panels, b->gate, b->ld_ff);
    product_add_bias_of_panels(b, p->linear2->bias, panels, b->up, b->ld_ff);
}

/* Items are pieces of 256 values of a column: the unit of quantising. */
static void run_activation(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const uint32_t d_ff = p->linear->weight->n_rows, n_pieces = (d_ff + 255) / 256;
    const struct range items = range_of(b->batch.n_cols * n_pieces, part);
    for (uint32_t i = items.first; i < items.last; i++) {
        const uint32_t c = i / n_pieces, first = i % n_pieces * 256;
        const uint32_t n = d_ff - first < 256 ? d_ff - first : 256;
        float *gate = b->gate + c * b->ld_ff + first;
        b->k.gate(gate, b->up + c * b->ld_ff + first, n, p->ffn->activation, gate);
        act_quantise(b, &b->ff, p->forms, c, b->batch.n_cols, gate, first, n);
    }
}

/* Into how many tiles the columns are cut: there should be an item for every part of the phase,
 * however narrow the matrix and many the threads. */
static uint32_t n_fused_tiles(uint32_t n_pieces, uint32_t n_cols, uint32_t n_threads)
{
    const uint32_t fewest = (n_cols + FUSED_TILE - 1) / FUSED_TILE;
    const uint32_t most = (n_cols + SMALL_FUSED_TILE - 1) / SMALL_FUSED_TILE;
    const uint32_t wanted = (MAX_PARTS_A_THREAD * n_threads + n_pieces - 1) / n_pieces;
    return wanted < fewest ? fewest : wanted > most ? most : wanted;
}

/* Both at once, for steps of many columns: their gates and ups together are larger than any cache,
 * and would be written to memory and read again. Items are pieces of 256 values of a tile of
 * columns; a thread keeps those of one item in rows of its own, (n_cols, 256), of the buffers. */
static void run_fused_gate_up(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const uint32_t d_ff = p->linear->weight->n_rows, n_pieces = (d_ff + 255) / 256;
    const uint32_t n_cols = b->batch.n_cols;
    const uint32_t n_tiles = n_fused_tiles(n_pieces, n_cols, b->params.n_threads);
    const struct range items = range_of(n_pieces * n_tiles, part);
    float *gates = b->gate + (size_t)part.thread * n_cols * 256;
    float *ups = b->up + (size_t)part.thread * n_cols * 256;

    for (uint32_t i = items.first; i < items.last; i++) {
        const struct range cols = even_range(n_cols, i % n_tiles, n_tiles);
        const uint32_t first = i / n_tiles * 256, n = d_ff - first < 256 ? d_ff - first : 256;
        const struct range panels = { first / PANEL_ROWS,
                                      (first + n + PANEL_ROWS - 1) / PANEL_ROWS };
        product_columns(b, p->linear->weight, &b->h, cols, n_cols, panels, gates, 256);
        product_columns(b, p->linear2->weight, &b->h, cols, n_cols, panels, ups, 256);
        product_add_bias(b, p->linear->bias, first, n, cols, gates, 256);
        product_add_bias(b, p->linear2->bias, first, n, cols, ups, 256);
        for (uint32_t c = cols.first; c < cols.last; c++) {
            float *gate = gates + (size_t)c * 256;
            b->k.gate(gate, ups + (size_t)c * 256, n, p->ffn->activation, gate);
            act_quantise(b, &b->ff, p->forms, c, n_cols, gate, first, n);
        }
    }
}

/* Sums of n values, and of their squares about a mean: 16 of each, added up in a tree. */
static float sum_about(const float *x, uint32_t n, float mean, bool are_squares)
{
    float part[16] = { 0 };
    for (uint32_t i = 0; i < n; i += 16)
        for (uint32_t k = 0; k < 16; k++)
            part[k] += are_squares ? (x[i + k] - mean) * (x[i + k] - mean) : x[i + k];
    for (int width = 8; width > 0; width /= 2)
        for (int k = 0; k < width; k++) part[k] += part[k + width];
    return part[0];
}

/* What gates are above their mean and some deviations. */
static void run_cut(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const uint32_t d_ff = p->linear->weight->n_rows;
    const struct range cols = range_of(b->batch.n_cols, part);
    for (uint32_t c = cols.first; c < cols.last; c++) {
        float *gate = b->gate + c * b->ld_ff;
        const float mean = sum_about(gate, d_ff, 0, false) / (float)d_ff;
        const float deviation = sqrtf(sum_about(gate, d_ff, mean, true) / (float)d_ff);
        const float from = mean + p->ffn->cut * deviation;
        for (uint32_t i = 0; i < d_ff; i++) gate[i] = gate[i] > from ? gate[i] - from : 0;
    }
}

static void record_cut(struct cpu_backend *b, const struct linear *gate,
                       const struct ffn_params *params)
{
    struct phase *p = phase_add(b, run_cut, "activation");
    p->linear = gate;
    p->ffn = params;
    phase_set_cost(b, p, ACTIVATION_NS * b->batch.n_cols * gate->weight->n_rows);
}

void cpu_gate_up(struct backend *base, const struct linear *gate, const struct linear *up,
                 const struct ffn_params *params)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    const uint32_t n_cols = b->batch.n_cols;
    const bool is_fused = n_cols >= MANY_COLS && b->params.n_threads * 256 <= b->ld_ff &&
                          !params->has_cut;
    phase_want_forms(b, b->writer.h, act_form(gate->weight) | act_form(up->weight));
    b->writer.ff = b->n_phases;
    struct phase *p = phase_add(b, is_fused ? run_fused_gate_up : run_gate_up, "gate up");
    p->linear = gate;
    p->linear2 = up;
    p->ffn = params;
    phase_set_cost(b, p, product_cost(gate->weight, n_cols) + product_cost(up->weight, n_cols));
    if (is_fused) return;
    if (params->has_cut) record_cut(b, gate, params);
    b->writer.ff = b->n_phases;
    p = phase_add(b, run_activation, "activation");
    p->linear = gate;
    p->ffn = params;
    phase_set_cost(b, p, ACTIVATION_NS * n_cols * gate->weight->n_rows);
}
