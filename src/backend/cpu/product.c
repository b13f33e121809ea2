/* Matrix products over panels.
 *
 * Loop order: tiles of columns outside, panels inside, groups of columns innermost. A tile's
 * activations stay in the second-level cache while the panels stream past; a step of up to some
 * hundred columns of a narrow matrix is one tile, so each panel is read from memory once. Column
 * counts are split evenly into groups of at most MAX_PRODUCT_COLS, never padded. */
#include "backend/cpu/product.h"

#include "backend/cpu/kernels/quantise.h"
#include "backend/cpu/phase.h"
#include "backend/cpu/product_slices.h"

/* Of activations: about half of a 1 MB second-level cache. A matrix unit reads them once for
 * several panels, so from further away, too. */
enum { TILE_BYTES = 500 << 10, WIDE_TILE_BYTES = 1536 << 10 };

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

static uint32_t n_tiles_of(const struct matrix *m, uint32_t n_cols, size_t tile_bytes)
{
    const size_t bytes = act_col_bytes(panel_act(m->format), m->n_k) * n_cols;
    const uint32_t n_tiles = (uint32_t)((bytes + tile_bytes - 1) / tile_bytes);
    return n_tiles < n_cols ? n_tiles : n_cols;
}

/* The same with a matrix unit: tiles of columns outside, the rest is the kernel's. */
static void walk_wide(const struct cpu_backend *b, const struct matrix *m, const struct act *act,
                      struct range cols, uint32_t ld, struct range panels, float *out,
                      size_t ld_out, bool adds)
{
    const uint32_t n_cols = cols.last - cols.first;
    const uint32_t n_tiles = n_tiles_of(m, n_cols, WIDE_TILE_BYTES);
    for (uint32_t t = 0; t < n_tiles; t++) {
        const struct range tile = even_range(n_cols, t, n_tiles);
        const uint32_t c = cols.first + tile.first;
        b->k.wide[m->format].run(&(struct wide_product){
            .panel = m->panel + panels.first * m->panel_bytes,
            .n_panels = panels.last - panels.first, .n_k = m->n_k,
            .x = act_of(act, panel_act(m->format), c), .ld = ld,
            .n_cols = tile.last - tile.first, .out = out + c * ld_out, .ld_out = ld_out,
            .adds = adds,
        });
    }
}

/* The walk of all: out = product, or out += product where `adds`, a constant once inlined. out
 * points at where the first panel's rows of column 0 go. */
static inline void walk_panels(const struct cpu_backend *b, const struct matrix *m,
                               const struct act *act, struct range cols, uint32_t ld,
                               struct range panels, float *out, size_t ld_out, const bool adds)
{
    if (panel_act(m->format) == ACT_F32) {
        product_slices(b, m, act->f32, cols, ld, panels, out, ld_out, adds);
        return;
    }
    const uint32_t n_cols = cols.last - cols.first;
    const struct wide_kernel *wide = &b->k.wide[m->format];
    if (wide->run && n_cols >= wide->from_cols) {
        walk_wide(b, m, act, cols, ld, panels, out, ld_out, adds);
        return;
    }
    product_fn *product = b->k.product[m->format];
    const enum act_format format = panel_act(m->format);
    const uint32_t n_tiles = n_tiles_of(m, n_cols, TILE_BYTES);
    float sum[MAX_PRODUCT_COLS][PANEL_ROWS] __attribute__((aligned(64)));

    for (uint32_t t = 0; t < n_tiles; t++) {
        const struct range tile = even_range(n_cols, t, n_tiles);
        const uint32_t n_tile = tile.last - tile.first;
        const uint32_t n_groups = (n_tile + MAX_PRODUCT_COLS - 1) / MAX_PRODUCT_COLS;
        for (uint32_t p = panels.first; p < panels.last; p++)
            for (uint32_t g = 0; g < n_groups; g++) {
                const struct range group = even_range(n_tile, g, n_groups);
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
                    uint32_t n_cols, struct range panels, float *out, size_t ld_out)
{
    walk_panels(b, m, act, (struct range){ 0, n_cols }, n_cols, panels,
                out + (size_t)panels.first * PANEL_ROWS, ld_out, false);
}

void product_columns(const struct cpu_backend *b, const struct matrix *m, const struct act *act,
                     struct range cols, uint32_t ld, struct range panels, float *out, size_t ld_out)
{
    walk_panels(b, m, act, cols, ld, panels, out, ld_out, false);
}

void product_panels_add(const struct cpu_backend *b, const struct matrix *m, const struct act *act,
                        uint32_t n_cols, struct range panels, float *x, size_t ld_x)
{
    walk_panels(b, m, act, (struct range){ 0, n_cols }, n_cols, panels,
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
    if (forms & ACT_FORM_F32)
        for (uint32_t i = 0; i < n; i += 32)
            quantise_clean(x + i, 32, act->f32[(size_t)((first + i) / 32) * ld + col].v);
}

void product_add_bias(const struct cpu_backend *b, const struct vector *bias, uint32_t first,
                      uint32_t n, struct range cols, float *out, size_t ld_out)
{
    for (uint32_t c = cols.first; bias && c < cols.last; c++)
        b->k.add(out + c * ld_out, bias->values + first, n);
}

void product_add_bias_of_panels(const struct cpu_backend *b, const struct vector *bias,
                                struct range panels, float *out, size_t ld_out)
{
    const uint32_t first = panels.first * PANEL_ROWS, end = panels.last * PANEL_ROWS;
    if (!bias || first >= end) return;
    product_add_bias(b, bias, first, (end < bias->n ? end : bias->n) - first,
                     (struct range){ 0, b->batch.n_cols }, out + first, ld_out);
}

static void run_product(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct matrix *m = p->linear->weight;
    const struct range panels = range_of(m->n_panels, part), cols = { 0, b->batch.n_cols };
    const bool has_leftovers = p->writer != UINT32_MAX && b->phase[p->writer].has_leftovers;
    product_columns(b, m, p->act, cols, has_leftovers ? 2 * cols.last : cols.last, panels,
                    p->out + (size_t)panels.first * PANEL_ROWS, p->ld_out);
    product_add_bias_of_panels(b, p->linear->bias, panels, p->out, p->ld_out);
}

double product_cost(const struct matrix *m, uint32_t n_cols)
{
    const double read_ns = READ_NS * (double)m->panel_bytes;
    const double mac_ns = panel_act(m->format) == ACT_F32 ? FLOAT_PRODUCT_NS : PRODUCT_NS;
    const double compute_ns = mac_ns * PANEL_ROWS * m->n_k * n_cols;
    return m->n_panels * (read_ns > compute_ns ? read_ns : compute_ns);
}

struct phase *product_record(struct cpu_backend *b, const char *name, const struct linear *w,
                             const struct act *act, float *out, size_t ld_out)
{
    struct phase *p = phase_add(b, run_product, name);
    p->linear = w;
    p->act = act;
    p->writer = act == &b->h ? b->writer.h : UINT32_MAX;
    p->out = out;
    p->ld_out = ld_out;
    phase_set_cost(b, p, product_cost(w->weight, b->batch.n_cols));
    return p;
}
