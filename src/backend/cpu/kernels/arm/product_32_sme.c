/* Products of the 32-blocks by SME: Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL, MXFP4, for many columns.
 * Layouts and the chain of floats: panel_layout.h; how columns and panels go together:
 * passes_sme.h.
 *
 * A scale belongs to 32 k and a column's own to as many, so sums leave the matrix every 32 k,
 * after eight outer products; four blocks have a tile each, so that one is read while others are
 * summed up. Quanta are signed bytes, or unsigned ones below 32. Not measured: no machine with SME
 * was at hand.
 * */
#include "backend/cpu/kernels/arm/passes_sme.h"
#include "quant/blocks.h"

enum { BLOCK_LINES = 8, ZA_TILES = 4 };

/* panel_layout.h's, as constants: its functions are compiled for the other mode. */
#define HAS_MIN(format) ((format) == PANEL_Q4_1 || (format) == PANEL_Q5_1)
#define SHIFT(format)                                                                              \
    ((format) == PANEL_Q4_0 ? 4 : (format) == PANEL_Q5_0 || (format) == PANEL_MXFP4 ? 3 : 0)

/* ---- columns -------------------------------------------------------------------------------- */

SME_INLINE void put_columns(const struct sme_pass *p, uint32_t first, uint32_t n_blocks)
    SME_STREAMING
{
    struct sme_scratch *t = p->scratch;
    for (uint32_t j = 0; j < sme_tiles(p); j++)
        for (uint32_t b = 0; b < n_blocks; b++) {
            const uint32_t n = sme_cols(p, j);
            const struct act_x32 *x =
                (const struct act_x32 *)p->x + (size_t)(first + b) * p->ld + j * SME_COLS;
            sme_lines((const uint8_t *)x->q, sizeof *x, n, BLOCK_LINES, 0,
                      &t->columns[j][b * BLOCK_LINES]);
            for (uint32_t c = 0; c < SME_COLS; c++) {
                t->d[j][b][c] = c < n ? x[c].d : 0;
                t->d_sum[j][b][c] = c < n ? x[c].d_sum : 0;
            }
        }
}

/* ---- weights -------------------------------------------------------------------------------- */

/* Quanta of four k: signed, or unsigned where there is a minimum. */
SME_INLINE svuint8_t quanta(const enum panel_format format, svuint8_t code, const int8_t *codebook)
    SME_STREAMING
{
    const svbool_t all = svptrue_b8();
    switch (format) {
    case PANEL_Q8_0: return sveor_u8_x(all, code, svdup_n_u8(0x80));
    case PANEL_Q4_0: return svsub_n_u8_x(all, code, 8);
    case PANEL_Q5_0: return svsub_n_u8_x(all, code, 16);
    case PANEL_IQ4_NL:
    case PANEL_MXFP4:
        return svtbl_u8(svld1_u8(svwhilelt_b8_u32(0, 16), (const uint8_t *)codebook), code);
    default: return code;
    }
}

SME_INLINE void unpack_lines(const enum panel_format format, const uint8_t *lines,
                             const int8_t *codebook, uint8_t (*to)[PANEL_LINE]) SME_STREAMING
{
    const bool five = format == PANEL_Q5_0 || format == PANEL_Q5_1;
    const svbool_t all = svptrue_b8();
    const svuint8_t bits = svld1_u8(all, lines);
    for (uint32_t g = 0; g < BLOCK_LINES; g++) {
        svuint8_t code;
        if (format == PANEL_Q8_0) {
            code = svld1_u8(all, lines + g * PANEL_LINE);
        } else {
            const svuint8_t both = svld1_u8(all, lines + (g / 2 + five) * PANEL_LINE);
            code = g % 2 ? sme_high(both) : sme_low(both);
            if (five) code = svorr_u8_x(all, code, sme_fifth(bits, g));
        }
        svst1_u8(all, to[g], quanta(format, code, codebook));
    }
}

/* A block's d, and minima, of the 16 rows. */
SME_INLINE void unpack_scales(const enum panel_format format, const uint8_t *scales,
                              struct sme_scratch *t, uint32_t b) SME_STREAMING
{
    const svbool_t all = svptrue_b32();
    const float part = 1.0f / (float)(1 << SHIFT(format));
    svfloat32_t d;
    if (format == PANEL_MXFP4)          /* exponent fields */
        d = svreinterpret_f32_u32(svlsl_n_u32_x(all, svld1ub_u32(all, scales), 23));
    else d = sme_halves((const uint16_t *)scales);
    svst1_f32(all, t->row_d[b], svmul_n_f32_x(all, d, part));
    if (HAS_MIN(format))
        svst1_f32(all, t->row_min[b], sme_halves((const uint16_t *)scales + PANEL_ROWS));
}

/* ---- sums ----------------------------------------------------------------------------------- */

/* A tile is a constant of the instruction: functions of each. */
#define DEFINE_TILE(tile)                                                                          \
    SME_INLINE void multiply_##tile(const struct sme_scratch *t, uint32_t j, uint32_t b)           \
        SME_STREAMING                                                                              \
    {                                                                                              \
        const svbool_t all = svptrue_b8();                                                         \
        for (uint32_t i = b * BLOCK_LINES; i < (b + 1) * BLOCK_LINES; i++)                         \
            svmopa_za32_s8_m(tile, all, all, svld1_s8(all, (const int8_t *)t->plane[0][i]),        \
                             svld1_s8(all, t->columns[j][i]));                                     \
    }                                                                                              \
    SME_INLINE svint32_t row_##tile(uint32_t r) SME_STREAMING                                      \
    {                                                                                              \
        return svread_hor_za32_s32_m(svdup_n_s32(0), svptrue_b32(), tile, r);                      \
    }
DEFINE_TILE(0)
DEFINE_TILE(1)
DEFINE_TILE(2)
DEFINE_TILE(3)

SME_INLINE svint32_t row_of(uint32_t tile, uint32_t r) SME_STREAMING
{
    switch (tile) {
    case 0: return row_0(r);
    case 1: return row_1(r);
    case 2: return row_2(r);
    default: return row_3(r);
    }
}

/* tile: a constant, once inlined. */
SME_INLINE void finish(const enum panel_format format, struct sme_scratch *t, uint32_t panel,
                       uint32_t j, uint32_t b, const uint32_t tile) SME_STREAMING
{
    const svbool_t all = svptrue_b32();
    const svfloat32_t x_d = svld1_f32(all, t->d[j][b]), x_sum = svld1_f32(all, t->d_sum[j][b]);
    for (uint32_t r = 0; r < PANEL_ROWS; r++) {
        const svint32_t shifted =
            svlsl_n_s32_x(all, row_of(tile, r), SHIFT(format));
        svfloat32_t sum = svld1_f32(all, t->sum[panel][j][r]);
        sum = svmla_f32_x(all, sum, svcvt_f32_s32_x(all, shifted),
                          svmul_n_f32_x(all, x_d, t->row_d[b][r]));
        if (HAS_MIN(format)) sum = svmla_n_f32_x(all, sum, x_sum, t->row_min[b][r]);
        svst1_f32(all, t->sum[panel][j][r], sum);
    }
}

/* All blocks of a step, up to four at once. */
SME_INLINE void sum_up(const enum panel_format format, struct sme_scratch *t, uint32_t panel,
                       uint32_t j, uint32_t n_blocks) SME_STREAMING
{
    for (uint32_t b = 0; b < n_blocks; b += ZA_TILES) {
        svzero_za();
        multiply_0(t, j, b);
        if (b + 1 < n_blocks) multiply_1(t, j, b + 1);
        if (b + 2 < n_blocks) multiply_2(t, j, b + 2);
        if (b + 3 < n_blocks) multiply_3(t, j, b + 3);
        finish(format, t, panel, j, b, 0);
        if (b + 1 < n_blocks) finish(format, t, panel, j, b + 1, 1);
        if (b + 2 < n_blocks) finish(format, t, panel, j, b + 2, 2);
        if (b + 3 < n_blocks) finish(format, t, panel, j, b + 3, 3);
    }
}

SME_INLINE void run(const enum panel_format format, const struct sme_pass *p,
                    const int8_t *codebook) SME_STREAMING
{
    const uint32_t n_blocks = p->n_k / 32;
    struct sme_scratch *t = p->scratch;
    sme_clear(t);
    for (uint32_t first = 0; first < n_blocks; first += SME_BLOCKS) {
        const uint32_t n = n_blocks - first < SME_BLOCKS ? n_blocks - first : SME_BLOCKS;
        put_columns(p, first, n);
        for (uint32_t i = 0; i < p->n_panels; i++) {
            const uint8_t *scales = p->panel + i * p->panel_bytes;
            const uint8_t *lines = scales + p->scales_bytes;
            for (uint32_t b = 0; b < n; b++) {
                unpack_scales(format, scales + (first + b) * p->scale_bytes, t, b);
                unpack_lines(format, lines + (first + b) * p->line_bytes, codebook,
                             &t->plane[0][b * BLOCK_LINES]);
            }
            for (uint32_t j = 0; j < sme_tiles(p); j++) sum_up(format, t, i, j, n);
        }
    }
}

#define DEFINE_WIDE(name, format, codebook)                                                        \
    static void name##_pass(void *pass) SME_STREAMING                                              \
    {                                                                                              \
        run(format, pass, codebook);                                                               \
    }                                                                                              \
    static void name(const struct wide_product *w)                                                 \
    {                                                                                              \
        const struct sme_pass first = {                                                            \
            .panel_bytes = panel_bytes(format, w->n_k),                                            \
            .scales_bytes = panel32_scales_bytes(format, w->n_k),                                  \
            .scale_bytes = panel32_block_scales(format),                                           \
            .line_bytes = panel32_n_lines(format) * PANEL_LINE,                                    \
        };                                                                                         \
        SME_PASSES(w, first, sizeof(struct act_x32), name##_pass);                                 \
    }
DEFINE_WIDE(wide_q8_0, PANEL_Q8_0, NULL)
DEFINE_WIDE(wide_q4_0, PANEL_Q4_0, NULL)
DEFINE_WIDE(wide_q4_1, PANEL_Q4_1, NULL)
DEFINE_WIDE(wide_q5_0, PANEL_Q5_0, NULL)
DEFINE_WIDE(wide_q5_1, PANEL_Q5_1, NULL)
DEFINE_WIDE(wide_iq4_nl, PANEL_IQ4_NL, iq4_codebook)
DEFINE_WIDE(wide_mxfp4, PANEL_MXFP4, mxfp4_codebook)

void cpu_product_32_sme(struct cpu_kernels *k)
{
    enum { FROM_COLS = 12 };    /* of a tile's 16 */
    k->wide[PANEL_Q8_0] = (struct wide_kernel){ wide_q8_0, FROM_COLS };
    k->wide[PANEL_Q4_0] = (struct wide_kernel){ wide_q4_0, FROM_COLS };
    k->wide[PANEL_Q4_1] = (struct wide_kernel){ wide_q4_1, FROM_COLS };
    k->wide[PANEL_Q5_0] = (struct wide_kernel){ wide_q5_0, FROM_COLS };
    k->wide[PANEL_Q5_1] = (struct wide_kernel){ wide_q5_1, FROM_COLS };
    k->wide[PANEL_IQ4_NL] = (struct wide_kernel){ wide_iq4_nl, FROM_COLS };
    k->wide[PANEL_MXFP4] = (struct wide_kernel){ wide_mxfp4, FROM_COLS };
}
