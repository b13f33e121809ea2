/* What wide products by the outer products of SME share. Include it only from product_*_sme.c.
 *
 * Vectors are of 64 bytes (cpu_isa.h), so a line of a panel, 4 k of 16 rows, is one operand of an
 * outer product, and 4 k of 16 columns the other: 1,024 multiply-adds an instruction into a tile
 * of 16 rows x 16 columns. Columns are brought into lines by the matrix itself: as rows of a tile
 * they are written, as its columns they are read.
 *
 * A pass is up to four tiles of columns and eight neighbouring panels. They go through k together,
 * 256 at a time: a step's columns are brought into lines once for all panels, and a panel's weights
 * are unpacked once for all tiles. Sums are kept as [row][column]. */
#ifndef BACKEND_CPU_KERNELS_ARM_PASSES_SME_H
#define BACKEND_CPU_KERNELS_ARM_PASSES_SME_H

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/arm/enter_sme.h"
#include "backend/cpu/panels/panel_layout.h"

enum {
    SME_COLS = 16,              /* of a tile */
    SME_TILES = 4, SME_PANELS = 8,  /* of a pass, at most */
    SME_STEP = 256,             /* k */
    SME_LINES = SME_STEP / 4,
    SME_BLOCKS = SME_STEP / 32,
};

/* A thread's. */
struct sme_scratch {
    int8_t columns[SME_TILES][SME_LINES][PANEL_LINE];   /* of the step: [16 columns][4 k] */
    float d[SME_TILES][SME_BLOCKS][SME_COLS];           /* of columns, by block */
    float d_sum[SME_TILES][SME_BLOCKS][SME_COLS];
    int8_t mins[SME_TILES][2][2][PANEL_LINE];   /* x.sum32 = 64 high + low: [high, low][4 sub-blocks
                                                 * of 16 columns] */
    uint8_t plane[2][SME_LINES][PANEL_LINE];    /* weights of a panel's step, unpacked */
    uint8_t min_lines[2][PANEL_LINE];           /* minima: [4 sub-blocks of 16 rows] */
    float row_d[SME_BLOCKS][PANEL_ROWS], row_min[SME_BLOCKS][PANEL_ROWS];
    float sum[SME_PANELS][SME_TILES][PANEL_ROWS][SME_COLS];
} __attribute__((aligned(64)));

struct sme_pass {
    const uint8_t *panel;
    size_t panel_bytes;
    uint32_t n_panels, n_k;
    const void *x;              /* block 0 of the pass's first column */
    uint32_t ld, n_cols;
    struct sme_scratch *scratch;
    size_t scales_bytes, scale_bytes, line_bytes;   /* of 32-blocks: of a panel's scales, of a
                                                     * block's scales and lines */
};

SME_INLINE uint32_t sme_tiles(const struct sme_pass *p) SME_STREAMING
{
    return (p->n_cols + SME_COLS - 1) / SME_COLS;
}

SME_INLINE uint32_t sme_cols(const struct sme_pass *p, uint32_t tile) SME_STREAMING
{
    const uint32_t left = p->n_cols - tile * SME_COLS;
    return left < SME_COLS ? left : SME_COLS;
}

SME_INLINE void sme_clear(struct sme_scratch *t) SME_STREAMING
{
    for (uint32_t p = 0; p < SME_PANELS; p++)
        for (uint32_t j = 0; j < SME_TILES; j++)
            for (uint32_t r = 0; r < PANEL_ROWS; r++)
                svst1_f32(svptrue_b32(), t->sum[p][j][r], svdup_n_f32(0));
}

/* n_lines lines (up to 16) of n columns, whose bytes begin at q and lie stride_bytes apart; flip:
 * of each byte, 0x80 where it is unsigned. Uses tile 3. */
SME_INLINE void sme_lines(const uint8_t *q, size_t stride_bytes, uint32_t n, uint32_t n_lines,
                          uint8_t flip, int8_t (*to)[PANEL_LINE]) SME_STREAMING
{
    const svbool_t some = svwhilelt_b32_u32(0, n_lines), all = svptrue_b32();
    svzero_za();                /* columns that there are not */
    for (uint32_t c = 0; c < n; c++) svld1_hor_za32(3, c, some, q + c * stride_bytes);
    for (uint32_t i = 0; i < n_lines; i++) {
        const svint32_t line = svread_ver_za32_s32_m(svdup_n_s32(0), all, 3, i);
        svst1_s8(svptrue_b8(), to[i],
                 svreinterpret_s8_u8(sveor_u8_x(svptrue_b8(), svreinterpret_u8_s32(line),
                                                svdup_n_u8(flip))));
    }
}

/* f16 of the 16 rows as floats. */
SME_INLINE svfloat32_t sme_halves(const uint16_t *from) SME_STREAMING
{
    return svcvt_f32_f16_x(svptrue_b32(),
                           svreinterpret_f16_u32(svld1uh_u32(svptrue_b32(), from)));
}

/* A byte a row, four times. */
SME_INLINE svuint8_t sme_spread(const uint8_t *rows) SME_STREAMING
{
    const svbool_t all = svptrue_b8();
    const svuint8_t of_row = svlsr_n_u8_x(all, svindex_u8(0, 1), 2);
    return svtbl_u8(svld1_u8(svwhilelt_b8_u32(0, PANEL_ROWS), rows), of_row);
}

/* Nibbles of a line: k 0 .. 3 and k 4 .. 7. */
SME_INLINE svuint8_t sme_low(svuint8_t both) SME_STREAMING
{
    return svand_n_u8_x(svptrue_b8(), both, 15);
}

SME_INLINE svuint8_t sme_high(svuint8_t both) SME_STREAMING
{
    return svlsr_n_u8_x(svptrue_b8(), both, 4);
}

/* Bit `bit` of each byte, in the place of bit 4. */
SME_INLINE svuint8_t sme_fifth(svuint8_t bits, uint32_t bit) SME_STREAMING
{
    const svbool_t all = svptrue_b8();
    const svuint8_t one = svand_n_u8_x(all, svlsr_u8_x(all, bits, svdup_n_u8((uint8_t)bit)), 1);
    return svlsl_n_u8_x(all, one, 4);
}

typedef void sme_pass_fn(void *pass);

static inline void sme_write(const struct wide_product *w, const struct sme_pass *p,
                             uint32_t first_panel, uint32_t first_col)
{
    for (uint32_t c = 0; c < p->n_cols; c++)
        for (uint32_t i = 0; i < p->n_panels; i++) {
            float *to = w->out + (first_col + c) * w->ld_out + (first_panel + i) * PANEL_ROWS;
            for (uint32_t r = 0; r < PANEL_ROWS; r++) {
                const float sum = p->scratch->sum[i][c / SME_COLS][r][c % SME_COLS];
                to[r] = w->adds ? to[r] + sum : sum;
            }
        }
}

/* All passes of a product; first: what they have in common. col_bytes: of a column's block. */
#define SME_PASSES(w, first, col_bytes, fn)                                                        \
    do {                                                                                           \
        struct sme_scratch scratch;                                                                \
        const uint32_t n_pass = SME_TILES * SME_COLS;                                              \
        for (uint32_t c = 0; c < (w)->n_cols; c += n_pass)                                         \
            for (uint32_t i = 0; i < (w)->n_panels; i += SME_PANELS) {                             \
                const uint32_t cols = (w)->n_cols - c, panels = (w)->n_panels - i;                 \
                struct sme_pass pass = (first);                                                    \
                pass.panel = (w)->panel + i * pass.panel_bytes;                                    \
                pass.n_panels = panels < SME_PANELS ? panels : SME_PANELS;                         \
                pass.n_k = (w)->n_k;                                                               \
                pass.x = (const uint8_t *)(w)->x + (size_t)c * (col_bytes);                        \
                pass.ld = (w)->ld;                                                                 \
                pass.n_cols = cols < n_pass ? cols : n_pass;                                       \
                pass.scratch = &scratch;                                                           \
                sme_run(fn, &pass);                                                                \
                sme_write(w, &pass, i, c);                                                         \
            }                                                                                      \
    } while (0)

#endif
