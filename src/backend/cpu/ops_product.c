/* Matrix products over panels, and the operations that are mostly one: attention_add, gate_up,
 * down_add.
 *
 * Loop order: tiles of columns outside, panels inside, groups of columns innermost. A tile's
 * activations stay in the second-level cache while the panels stream past; a step of up to some
 * hundred columns of a narrow matrix is one tile, so each panel is read from memory once. Column
 * counts are split evenly into groups of at most MAX_PRODUCT_COLS, never padded. */
#include <string.h>

#include "backend/cpu/cpu_internal.h"

enum {
    TILE_BYTES = 448 << 10,     /* of activations: under half of a 1 MB second-level cache */
    FUSED_TILE = 256,           /* columns of gate, up and activation at a time */
};

static const void *act_of(const struct act *act, enum act_format format, uint32_t col)
{
    switch (format) {
    case ACT_X256: return act->x256 + col;
    case ACT_X256U: return act->x256u + col;
    default: return act->x32 + col;
    }
}

static size_t act_col_bytes(enum act_format format, uint32_t n_k)
{
    switch (format) {
    case ACT_X256: return n_k / 256 * sizeof(struct act_x256);
    case ACT_X256U: return n_k / 256 * sizeof(struct act_x256u);
    default: return n_k / 32 * sizeof(struct act_x32);
    }
}

static uint32_t n_tiles_of(const struct matrix *m, uint32_t n_cols)
{
    const size_t bytes = act_col_bytes(panel_act(m->format), m->n_k) * n_cols;
    const uint32_t n_tiles = (uint32_t)((bytes + TILE_BYTES - 1) / TILE_BYTES);
    return n_tiles < n_cols ? n_tiles : n_cols;
}

/* The walk of all: out = product, or out += product where `adds`, a constant once inlined. out
 * points at where the first panel's rows of column 0 go. */
static inline void walk_panels(const struct cpu_backend *b, const struct matrix *m,
                               const struct act *act, struct share cols, uint32_t ld,
                               struct share panels, float *out, size_t ld_out, const bool adds)
{
    const uint32_t n_cols = cols.last - cols.first;
    product_fn *product = b->k.product[m->format];
    const enum act_format format = panel_act(m->format);
    const uint32_t n_tiles = n_tiles_of(m, n_cols);
    float sum[MAX_PRODUCT_COLS][PANEL_ROWS] __attribute__((aligned(64)));

    for (uint32_t t = 0; t < n_tiles; t++) {
        const struct share tile = even_share(n_cols, t, n_tiles);
        const uint32_t n_tile = tile.last - tile.first;
        const uint32_t n_groups = (n_tile + MAX_PRODUCT_COLS - 1) / MAX_PRODUCT_COLS;
        for (uint32_t p = panels.first; p < panels.last; p++)
            for (uint32_t g = 0; g < n_groups; g++) {
                const struct share group = even_share(n_tile, g, n_groups);
                const uint32_t c = cols.first + tile.first + group.first;
                const uint32_t n = group.last - group.first;
                const bool fetch = g == 0 && p + 1 < m->n_panels;
                float *to = out + c * ld_out + (size_t)(p - panels.first) * PANEL_ROWS;
                product(m->panel + p * m->panel_bytes, m->n_k, act_of(act, format, c), ld,
                        adds ? sum[0] : to, adds ? PANEL_ROWS : ld_out, n,
                        fetch ? m->panel_bytes : 0);
                for (uint32_t i = 0; adds && i < n; i++)
                    b->k.add(to + i * ld_out, sum[i], PANEL_ROWS);
            }
    }
}

void product_panels(const struct cpu_backend *b, const struct matrix *m, const struct act *act,
                    uint32_t n_cols, struct share panels, float *out, size_t ld_out)
{
    walk_panels(b, m, act, (struct share){ 0, n_cols }, n_cols, panels,
                out + (size_t)panels.first * PANEL_ROWS, ld_out, false);
}

void product_columns(const struct cpu_backend *b, const struct matrix *m, const struct act *act,
                     struct share cols, uint32_t ld, struct share panels, float *out, size_t ld_out)
{
    walk_panels(b, m, act, cols, ld, panels, out, ld_out, false);
}

void product_panels_add(const struct cpu_backend *b, const struct matrix *m, const struct act *act,
                        uint32_t n_cols, struct share panels, float *x, size_t ld_x)
{
    walk_panels(b, m, act, (struct share){ 0, n_cols }, n_cols, panels,
                x + (size_t)panels.first * PANEL_ROWS, ld_x, true);
}

void act_quantise(const struct cpu_backend *b, const struct act *act, uint32_t forms, uint32_t col,
                  uint32_t ld, const float *x, uint32_t first, uint32_t n)
{
    if (forms & (ACT_FORM_X256 | ACT_FORM_X256U)) {
        const size_t at = (size_t)(first / 256) * ld + col;
        b->k.quantise_x256(x, n, forms & ACT_FORM_X256 ? act->x256 + at : NULL,
                           forms & ACT_FORM_X256U ? act->x256u + at : NULL, ld);
    }
    if (forms & ACT_FORM_X32)
        b->k.quantise_x32(x, n, act->x32 + (size_t)(first / 32) * ld + col, ld);
}

static void run_product(struct cpu_backend *b, const struct phase *p, struct part part)
{
    product_panels(b, p->matrix, p->act, b->batch.n_cols,
                   share_of(p->matrix->n_panels, part), p->out, p->ld_out);
}

static void run_product_add(struct cpu_backend *b, const struct phase *p, struct part part)
{
    product_panels_add(b, p->matrix, p->act, b->batch.n_cols,
                       share_of(p->matrix->n_panels, part), b->x, b->ld_model);
}

/* x += rms_norm(y) * weight */
static void run_post_norm(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct share cols = share_of(b->batch.n_cols, part);
    const uint32_t d_model = b->params.dims.d_model;
    for (uint32_t c = cols.first; c < cols.last; c++) {
        float *y = b->y + c * b->ld_model;
        b->k.rms_norm(y, p->vector->values, d_model, p->eps, y);
        b->k.add(b->x + c * b->ld_model, y, d_model);
    }
}

struct phase *record_product(struct cpu_backend *b, const char *name, const struct matrix *weight,
                             const struct act *act, float *out, size_t ld_out)
{
    struct phase *p = add_phase(b, run_product, name);
    p->matrix = weight;
    p->act = act;
    p->out = out;
    p->ld_out = ld_out;
    set_cost(b, p, product_cost(weight, b->batch.n_cols));
    return p;
}

static void record_add(struct cpu_backend *b, const char *name, const struct matrix *weight,
                       const struct act *act, const struct vector *post_norm, float eps)
{
    struct phase *p = record_product(b, name, weight, act, b->y, b->ld_model);
    if (!post_norm) {
        p->run = run_product_add;
        return;
    }
    p = add_phase(b, run_post_norm, "post norm");
    p->vector = post_norm;
    p->eps = eps;
    set_cost(b, p, NORM_NS * b->batch.n_cols * b->params.dims.d_model);
}

void cpu_attention_add(struct backend *base, const struct matrix *weight,
                       const struct vector *post_norm, float eps)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    b->phase[b->n_phases - 1].forms |= act_form(weight);    /* attend's quantising */
    record_add(b, "attention out", weight, &b->att, post_norm, eps);
}

void cpu_down_add(struct backend *base, const struct matrix *weight,
                  const struct vector *post_norm, float eps)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    b->phase[b->n_phases - 1].forms |= act_form(weight);    /* gate_up's quantising */
    record_add(b, "down", weight, &b->ff, post_norm, eps);
}

static void run_gate_up(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct share panels = share_of(p->matrix->n_panels, part);
    product_panels(b, p->matrix, &b->h, b->batch.n_cols, panels, b->gate, b->ld_ff);
    product_panels(b, p->matrix2, &b->h, b->batch.n_cols, panels, b->up, b->ld_ff);
}

/* Items are pieces of 256 values of a column: the unit of quantising. */
static void run_activation(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const uint32_t d_ff = b->params.dims.d_ff, n_pieces = (d_ff + 255) / 256;
    const struct share items = share_of(b->batch.n_cols * n_pieces, part);
    for (uint32_t i = items.first; i < items.last; i++) {
        const uint32_t c = i / n_pieces, first = i % n_pieces * 256;
        const uint32_t n = d_ff - first < 256 ? d_ff - first : 256;
        float *gate = b->gate + c * b->ld_ff + first;
        b->k.gate(gate, b->up + c * b->ld_ff + first, n, p->activation, gate);
        act_quantise(b, &b->ff, p->forms, c, b->batch.n_cols, gate, first, n);
    }
}

/* Both at once, for steps of many columns: their gates and ups together are larger than any cache, and
 * would be written to memory and read again. Items are pieces of 256 values of a tile of columns; a
 * thread keeps those of one item in rows of its own, (n_cols, 256), of the buffers. */
static void run_fused_gate_up(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const uint32_t d_ff = b->params.dims.d_ff, n_pieces = (d_ff + 255) / 256;
    const uint32_t n_cols = b->batch.n_cols, n_tiles = (n_cols + FUSED_TILE - 1) / FUSED_TILE;
    const struct share items = share_of(n_pieces * n_tiles, part);
    float *gates = b->gate + (size_t)part.thread * n_cols * 256;
    float *ups = b->up + (size_t)part.thread * n_cols * 256;

    for (uint32_t i = items.first; i < items.last; i++) {
        const struct share cols = even_share(n_cols, i % n_tiles, n_tiles);
        const uint32_t first = i / n_tiles * 256, n = d_ff - first < 256 ? d_ff - first : 256;
        const struct share panels = { first / PANEL_ROWS, (first + n + PANEL_ROWS - 1) / PANEL_ROWS };
        product_columns(b, p->matrix, &b->h, cols, n_cols, panels, gates, 256);
        product_columns(b, p->matrix2, &b->h, cols, n_cols, panels, ups, 256);
        for (uint32_t c = cols.first; c < cols.last; c++) {
            float *gate = gates + (size_t)c * 256;
            b->k.gate(gate, ups + (size_t)c * 256, n, p->activation, gate);
            act_quantise(b, &b->ff, p->forms, c, n_cols, gate, first, n);
        }
    }
}

static void record_fused_gate_up(struct cpu_backend *b, const struct matrix *gate,
                                 const struct matrix *up, enum activation activation)
{
    const uint32_t n_cols = b->batch.n_cols;
    struct phase *p = add_phase(b, run_fused_gate_up, "gate up");
    p->matrix = gate;
    p->matrix2 = up;
    p->activation = activation;
    set_cost(b, p, product_cost(gate, n_cols) + product_cost(up, n_cols));
}

void cpu_gate_up(struct backend *base, const struct matrix *gate, const struct matrix *up,
                 enum activation activation)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    b->phase[b->last_norm].forms |= act_form(gate) | act_form(up);
    if (b->batch.n_cols >= MANY_COLS && b->params.n_threads * 256 <= b->ld_ff) {
        record_fused_gate_up(b, gate, up, activation);
        return;
    }
    struct phase *p = add_phase(b, run_gate_up, "gate up");
    p->matrix = gate;
    p->matrix2 = up;
    set_cost(b, p, product_cost(gate, b->batch.n_cols) + product_cost(up, b->batch.n_cols));
    p = add_phase(b, run_activation, "activation");
    p->activation = activation;
    set_cost(b, p, ACTIVATION_NS * b->batch.n_cols * b->params.dims.d_ff);
}
