/* Products of the 32-blocks on the matrix unit of AMX: Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL, MXFP4,
 * for many columns. Layouts and the chain of floats: panel_layout.h.
 *
 * A scale belongs to 32 k and a column's own to as many, so sums leave the unit every 32 k: a tile
 * of 16 columns' is stored for every 8192 multiply-adds, which the float chain then reads. A step
 * is a strip of up to eight blocks of one panel; while the unit multiplies a tile of columns, the
 * next strip's weights are unpacked and the sums that were stored for the last tile get their
 * floats: a column's chain runs through the strip in a register. Up to four neighbouring panels go
 * strip by strip together, so that activations are read from the first-level cache.
 *
 * Operations of the vector unit per 16 rows x 32 x column: 3, with a minimum 4, where VNNI has 10
 * and 11, for signed quanta are multiplied as they are (VNNI's are + 128, and the column's `start`
 * takes that back: the same sum). What a strip costs to unpack all columns of the pass share. */
#include "backend/cpu/panels/panel_layout.h"
#include "backend/cpu/kernels/x86/passes_amx.h"
#include "backend/cpu/kernels/x86/unpack_32_avx512.h"

enum { STRIP = 8, BLOCK_LINES = 8, FINISHED_TOGETHER = 4 };

struct strip_scratch {
    uint8_t plane[2][STRIP][BLOCK_LINES][PANEL_LINE];   /* [step's parity] */
    /* [step % 3]: those of the last step are still read while the next step's are unpacked */
    float d[3][STRIP][PANEL_ROWS], min[3][STRIP][PANEL_ROWS];
    int32_t stored[2][STRIP][TILE_COLS][PANEL_ROWS];    /* [tile's parity] */
    float sum[PANELS_TOGETHER][MAX_PASS][PANEL_ROWS];
} __attribute__((aligned(64)));

/* A strip of a panel. */
struct strip {
    const uint8_t *scales, *lines;
    int n_blocks;
};

/* Sums that were stored for a tile of columns and wait for their floats. */
struct due {
    const struct act_x32 *x;    /* block 0 of the strip, first column of the tile */
    float (*sum)[PANEL_ROWS];   /* (columns a tile) */
    int n_blocks, parity, scales;
};

INLINE struct strip strip_of(const enum panel_format format, const struct pass *p, int panel,
                             int first_block)
{
    const uint8_t *at = p->panel + panel * p->panel_bytes;
    const int left = (int)p->n_k / 32 - first_block;
    return (struct strip){
        at + first_block * panel32_block_scales(format),
        at + panel32_scales_bytes(format, p->n_k) +
            first_block * panel32_n_lines(format) * PANEL_LINE,
        left < STRIP ? left : STRIP,
    };
}

/* Block j of a strip, and the fetching of one `ahead_bytes` further on. */
INLINE void unpack_block(const enum panel_format format, const struct strip *s, int j,
                         struct strip_scratch *t, int parity, int scales, size_t ahead_bytes)
{
    const uint8_t *at = s->scales + (size_t)j * panel32_block_scales(format);
    const int n_lines = (int)panel32_n_lines(format);
    const uint8_t *lines = s->lines + (size_t)j * n_lines * PANEL_LINE;
    __m512i v[8];
    unpack_32(format, lines, v);
    fetch_lines(lines + ahead_bytes, n_lines);
    fetch_lines(at + ahead_bytes, 1);
    UNROLL for (int g = 0; g < 8; g++) {
        if (!panel32_has_min(format)) v[g] = _mm512_xor_si512(v[g], _mm512_set1_epi8((char)0x80));
        _mm512_store_si512(t->plane[parity][j][g], v[g]);
    }
    _mm512_store_ps(t->d[scales][j], load_scales_32(format, at));
    if (panel32_has_min(format))
        _mm512_store_ps(t->min[scales][j], load_halves((const uint16_t *)at + PANEL_ROWS));
}

/* n columns from `c` on, a constant, through their strip: their chains run side by side. */
INLINE void finish_some(const enum panel_format format, const struct due *due,
                        const struct strip_scratch *t, uint32_t ld, int c, const int n)
{
    const struct act_x32 *x = due->x + c;
    __m512 sum[FINISHED_TOGETHER];
    UNROLL for (int i = 0; i < n; i++) sum[i] = _mm512_load_ps(due->sum[c + i]);
    for (int j = 0; j < due->n_blocks; j++, x += ld) {
        const __m512 d = _mm512_load_ps(t->d[due->scales][j]);
        const __m512 min = _mm512_load_ps(t->min[due->scales][j]);
        UNROLL for (int i = 0; i < n; i++) {
            const __m512 dot =
                _mm512_cvtepi32_ps(_mm512_load_si512(t->stored[due->parity][j][c + i]));
            sum[i] = _mm512_fmadd_ps(dot, _mm512_mul_ps(d, _mm512_set1_ps(x[i].d)), sum[i]);
            if (panel32_has_min(format))
                sum[i] = _mm512_fmadd_ps(min, _mm512_set1_ps(x[i].d_sum), sum[i]);
        }
    }
    UNROLL for (int i = 0; i < n; i++) _mm512_store_ps(due->sum[c + i], sum[i]);
}

/* The j-th eighth of a tile's m columns. */
INLINE void finish_strip(const enum panel_format format, const struct due *due,
                         const struct strip_scratch *t, uint32_t ld, int m, const int j)
{
    int c = j / 2 * FINISHED_TOGETHER;
    const int end = c + FINISHED_TOGETHER;
    if (j % 2) return;
    if (end <= m) finish_some(format, due, t, ld, c, FINISHED_TOGETHER);
    else for (; c < m; c++) finish_some(format, due, t, ld, c, 1);
}

/* Activations are signed, and so are weights but for those with a minimum. */
#define tile_dp_32(format, sum, x, w)                                                              \
    do {                                                                                           \
        if (panel32_has_min(format)) tile_dp_su(sum, x, w);                                        \
        else tile_dp_ss(sum, x, w);                                                                \
    } while (0)

/* 32 k of a tile of columns; operands are zeroed once used (product_kquant_amx.c). */
#define TILE_OF_BLOCK(sum_tile, x_tile, w_tile, x, w, to)                                          \
    tile_load(x_tile, x, sizeof(struct act_x32));                                                  \
    tile_load(w_tile, w, PANEL_LINE);                                                              \
    tile_dp_32(format, sum_tile, x_tile, w_tile);                                                  \
    tile_zero(x_tile);                                                                             \
    tile_zero(w_tile);                                                                             \
    tile_store(sum_tile, to, PANEL_LINE);                                                          \
    tile_zero(sum_tile)

INLINE void multiply_block(const enum panel_format format, const void *x, const void *w, void *to,
                           const int j)
{
    if (j % 2) {
        TILE_OF_BLOCK(1, 5, 7, x, w, to);
    } else {
        TILE_OF_BLOCK(0, 4, 6, x, w, to);
    }
}

INLINE void run_strips(const enum panel_format format, const struct pass *p,
                       struct strip_scratch *t)
{
    const int n_blocks = (int)p->n_k / 32, n_strips = (n_blocks + STRIP - 1) / STRIP, m = p->m;
    const int n_steps = n_strips * p->n_panels;
    struct strip now = { 0 }, next = strip_of(format, p, 0, 0);
    struct due due = { 0 };
    int parity = 0;

    memset(t->sum, 0, sizeof t->sum);
    for (int j = 0; j < next.n_blocks; j++) unpack_block(format, &next, j, t, 0, 0, 0);
    for (int step = 0; step < n_steps; step++) {
        const int panel = step % p->n_panels, first = step / p->n_panels * STRIP;
        const int next_panel = (step + 1) % p->n_panels;
        const int next_first = (step + 1) / p->n_panels * STRIP;
        const size_t ahead_bytes = STRIP * panel32_n_lines(format) * PANEL_LINE;
        now = next;
        next = (struct strip){ 0 };
        if (step + 1 < n_steps) next = strip_of(format, p, next_panel, next_first);
        for (int tile = 0; tile < p->n_tiles; tile++) {
            const struct act_x32 *x =
                (const struct act_x32 *)p->x + (size_t)first * p->ld + p->start[tile];
            UNROLL for (int j = 0; j < STRIP; j++) {
                if (j < now.n_blocks)
                    multiply_block(format, x + (size_t)j * p->ld, t->plane[step % 2][j],
                                   t->stored[parity][j], j);
                if (!tile && j < next.n_blocks)
                    unpack_block(format, &next, j, t, (step + 1) % 2, (step + 1) % 3, ahead_bytes);
                if (due.x) finish_strip(format, &due, t, p->ld, m, j);
            }
            due = (struct due){ x, t->sum[panel] + tile * m, now.n_blocks, parity, step % 3 };
            parity ^= 1;
        }
    }
    for (int j = 0; j < STRIP; j++) finish_strip(format, &due, t, p->ld, m, j);
    pass_write(p, t->sum);
}

#define DEFINE_WIDE(name, format)                                                                  \
    static void name##_pass(const struct pass *p, void *scratch)                                   \
    {                                                                                              \
        run_strips(format, p, scratch);                                                            \
    }                                                                                              \
    static void name(const struct wide_product *w)                                                 \
    {                                                                                              \
        const struct wide_form form = { .panel_bytes = panel_bytes(format, w->n_k),                \
                                        .col_bytes = sizeof(struct act_x32), .tile_k = 32 };       \
        struct strip_scratch scratch;                                                              \
        wide_passes(w, &form, (pass_fn *[]){ name##_pass, name##_pass, name##_pass }, &scratch);   \
    }
DEFINE_WIDE(wide_q8_0, PANEL_Q8_0)
DEFINE_WIDE(wide_q4_0, PANEL_Q4_0)
DEFINE_WIDE(wide_q4_1, PANEL_Q4_1)
DEFINE_WIDE(wide_q5_0, PANEL_Q5_0)
DEFINE_WIDE(wide_q5_1, PANEL_Q5_1)
DEFINE_WIDE(wide_iq4_nl, PANEL_IQ4_NL)
DEFINE_WIDE(wide_mxfp4, PANEL_MXFP4)

void cpu_product_32_amx(struct cpu_kernels *k)
{
    enum { FROM_COLS = 14 };
    k->wide[PANEL_Q8_0] = (struct wide_kernel){ wide_q8_0, FROM_COLS };
    k->wide[PANEL_Q4_0] = (struct wide_kernel){ wide_q4_0, FROM_COLS };
    k->wide[PANEL_Q4_1] = (struct wide_kernel){ wide_q4_1, FROM_COLS };
    k->wide[PANEL_Q5_0] = (struct wide_kernel){ wide_q5_0, FROM_COLS };
    k->wide[PANEL_Q5_1] = (struct wide_kernel){ wide_q5_1, FROM_COLS };
    k->wide[PANEL_IQ4_NL] = (struct wide_kernel){ wide_iq4_nl, FROM_COLS };
    k->wide[PANEL_MXFP4] = (struct wide_kernel){ wide_mxfp4, FROM_COLS };
}
