/* A column of floats is four times as large as one of bytes, so of wide matrices few columns would
 * stay in the cache beside their panels, and each panel would be read from memory once for every
 * few columns. Slices of k make room for many: a slice of all panels meets a tile of columns, then
 * the next slice adds to what came of it. In which order a part walks changes nothing: every row
 * and column adds up its slices in theirs. */
#include "backend/cpu/product_slices.h"

#include "backend/cpu/panels/panel_layout.h"

enum { TILE_BYTES = 448 << 10 };    /* of activations: under half of a 1 MB second-level cache */

struct slices {
    const struct cpu_backend *b;
    const struct matrix *m;
    const struct act_f32 *x;
    struct range cols, panels;
    uint32_t ld;
    float *out;
    size_t ld_out;
    bool adds;
};

static uint32_t slice_k(const struct matrix *m, uint32_t slice)
{
    const uint32_t left = m->n_k - slice * PANEL_SLICE;
    return left < PANEL_SLICE ? left : PANEL_SLICE;
}

/* Of one panel, times columns of the tile. */
static void run_slice(const struct slices *s, uint32_t slice, uint32_t p, struct range tile)
{
    const struct cpu_backend *b = s->b;
    const struct matrix *m = s->m;
    const uint32_t n_k = slice_k(m, slice), n_tile = tile.last - tile.first;
    const uint32_t n_groups = (n_tile + MAX_PRODUCT_COLS - 1) / MAX_PRODUCT_COLS;
    const size_t n_bytes = panel_bytes(m->format, n_k), at = panel_bytes(m->format, PANEL_SLICE);
    const uint8_t *from = m->panel + p * m->panel_bytes + slice * at;
    const bool adds = s->adds || slice, is_last = p + 1 == m->n_panels;
    float sum[MAX_PRODUCT_COLS][PANEL_ROWS] __attribute__((aligned(64)));

    for (uint32_t g = 0; g < n_groups; g++) {
        const struct range group = even_range(n_tile, g, n_groups);
        const uint32_t c = tile.first + group.first, n = group.last - group.first;
        const struct act_f32 *x = s->x + (size_t)slice * (PANEL_SLICE / 32) * s->ld + c;
        float *to = s->out + c * s->ld_out + (size_t)(p - s->panels.first) * PANEL_ROWS;
        b->k.product[m->format](from, n_k, x, s->ld, adds ? sum[0] : to,
                                adds ? PANEL_ROWS : s->ld_out, n,
                                g == 0 && !is_last ? n_bytes : 0);
        for (uint32_t i = 0; adds && i < n; i++) b->k.add(to + i * s->ld_out, sum[i], PANEL_ROWS);
    }
}

void product_slices(const struct cpu_backend *b, const struct matrix *m, const struct act_f32 *x,
                    struct range cols, uint32_t ld, struct range panels, float *out, size_t ld_out,
                    bool adds)
{
    const struct slices s = { b, m, x, cols, panels, ld, out, ld_out, adds };
    const uint32_t n_slices = (m->n_k + PANEL_SLICE - 1) / PANEL_SLICE;
    const uint32_t n_cols = cols.last - cols.first;
    const size_t col_bytes = m->n_k * sizeof(float);
    if (n_cols * col_bytes <= TILE_BYTES) {     /* panels are read as they lie */
        for (uint32_t p = panels.first; p < panels.last; p++)
            for (uint32_t i = 0; i < n_slices; i++) run_slice(&s, i, p, cols);
        return;
    }
    const uint32_t most = TILE_BYTES / (PANEL_SLICE * sizeof(float));
    const uint32_t n_tiles = (n_cols + most - 1) / most;
    for (uint32_t t = 0; t < n_tiles; t++)
        for (uint32_t i = 0; i < n_slices; i++) {
            const struct range tile = even_range(n_cols, t, n_tiles);
            for (uint32_t p = panels.first; p < panels.last; p++)
                run_slice(&s, i, p,
                          (struct range){ cols.first + tile.first, cols.first + tile.last });
        }
}
