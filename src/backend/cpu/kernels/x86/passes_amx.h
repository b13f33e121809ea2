/* How a wide product is cut into passes: a few neighbouring panels times up to
 * MAX_PASS columns, these in tiles of equally many. Where columns fill no whole tiles, tiles
 * overlap: a column in two of them is computed twice, to the same bytes. Include it only from
 * *_amx.c. */
#ifndef BACKEND_CPU_KERNELS_X86_PASSES_AMX_H
#define BACKEND_CPU_KERNELS_X86_PASSES_AMX_H

#include "backend/cpu/kernels/x86/product_avx512.h"
#include "backend/cpu/kernels/x86/tiles_amx.h"

enum {
    TILE_COLS = 16,
    MAX_PASS = 64,              /* columns that go through the panels together */
    MAX_TILES = MAX_PASS / TILE_COLS,
    PANELS_TOGETHER = 4,
};

struct pass {
    const uint8_t *panel;
    size_t panel_bytes;
    const uint8_t *x;           /* block 0 of the first column */
    uint32_t n_k, ld;
    int n_panels, n_cols;
    int n_tiles, m;             /* of m columns each */
    int start[MAX_TILES + 1];   /* where a tile's columns begin; [n_tiles]: n_cols */
    float *out;
    size_t ld_out;
    bool adds;
};

typedef void pass_fn(const struct pass *p, void *scratch);

/* Tiles come one or in pairs and lie evenly, the last one's end being the last column's. */
static inline void pass_set_tiles(struct pass *p)
{
    const int per = p->n_cols > TILE_COLS ? 2 : 1, width = per * TILE_COLS;
    p->n_tiles = (p->n_cols + width - 1) / width * per;
    p->m = (p->n_cols + p->n_tiles - 1) / p->n_tiles;
    for (int i = 0; i < p->n_tiles; i++)
        p->start[i] = i ? i * (p->n_cols - p->m) / (p->n_tiles - 1) : 0;
    p->start[p->n_tiles] = p->n_cols;
}

/* Of columns that two tiles have, the second one's. */
static inline void pass_write(const struct pass *p,
                              float sum[PANELS_TOGETHER][MAX_PASS][PANEL_ROWS])
{
    for (int panel = 0; panel < p->n_panels; panel++)
        for (int tile = 0; tile < p->n_tiles; tile++)
            for (int c = p->start[tile]; c < p->start[tile + 1]; c++) {
                float *to = p->out + (size_t)c * p->ld_out + panel * PANEL_ROWS;
                const __m512 s = _mm512_load_ps(sum[panel][tile * p->m + c - p->start[tile]]);
                _mm512_storeu_ps(to, p->adds ? _mm512_add_ps(_mm512_loadu_ps(to), s) : s);
            }
}

/* All panels, a few at a time, with all columns, by the pass for one tile, for two, or for more.
 * col_bytes: of a column's block. */
static inline void wide_passes(const struct wide_product *w, size_t panel_bytes, size_t col_bytes,
                               pass_fn *const by_tiles[3], void *scratch)
{
    const uint32_t n_passes = (w->n_cols + MAX_PASS - 1) / MAX_PASS;
    struct pass p = { .panel_bytes = panel_bytes, .ld = w->ld, .n_k = w->n_k,
                      .ld_out = w->ld_out, .adds = w->adds };
    int configured = 0;

    for (uint32_t first = 0; first < w->n_panels; first += PANELS_TOGETHER) {
        const uint32_t left = w->n_panels - first;
        p.panel = w->panel + first * p.panel_bytes;
        p.n_panels = left < PANELS_TOGETHER ? (int)left : PANELS_TOGETHER;
        for (uint32_t i = 0; i < n_passes; i++) {
            const uint32_t c = (uint32_t)((uint64_t)w->n_cols * i / n_passes);
            const uint32_t end = (uint32_t)((uint64_t)w->n_cols * (i + 1) / n_passes);
            p.n_cols = (int)(end - c);
            pass_set_tiles(&p);
            p.x = (const uint8_t *)w->x + c * col_bytes;
            p.out = w->out + c * w->ld_out + (size_t)first * PANEL_ROWS;
            if (p.m != configured) tiles_begin((uint32_t)p.m, 64);
            configured = p.m;
            by_tiles[p.n_tiles > 2 ? 2 : p.n_tiles - 1](&p, scratch);
        }
    }
    tile_release();
}

#endif
