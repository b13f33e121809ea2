/* Products of the K-quants by SME: Q4_K, Q5_K, Q6_K, for many columns. Layouts and the chain of
 * floats: panel_layout.h; how columns and panels go together: passes_sme.h.
 *
 * Scales go onto the weights while they are unpacked: scale times quantum as two bytes, in two
 * planes that the matrix sums over all 256 k, so that sums leave it once a block.
 *
 *     Q4_K Q5_K  scale = 8 sh + sl; sh q and sl q are at most 7 * 31: unsigned bytes.
 *                scaled = 8 high + low. Minima are outer products too: x.sum32 = 64 h + l,
 *                both of which are signed bytes. mins = 64 (min h) + min l.
 *     Q6_K       scale (q - 32) in 16 bits: a signed high byte, an unsigned low one. Columns
 *                are made signed, so that scaled, which has them + 128 and 4 (q - 32), is
 *                4 (256 high + low).
 *
 * All sums are exact, so the bytes are those of every other instruction set. Not measured: no
 * machine with SME was at hand. */
#include "backend/cpu/kernels/arm/passes_sme.h"

enum { HIGH, LOW, MINS_HIGH, MINS_LOW };    /* tiles */

/* ---- columns -------------------------------------------------------------------------------- */

/* The sums of 32 of the columns' block, as lines of 4 sub-blocks. */
SME_INLINE void put_mins(const struct act_x256 *x, uint32_t n, int8_t mins[2][2][PANEL_LINE])
    SME_STREAMING
{
    for (uint32_t c = 0; c < SME_COLS; c++)
        for (uint32_t s = 0; s < 8; s++) {
            const int32_t sum = c < n ? x[c].sum32[s] : 0;
            mins[0][s / 4][4 * c + s % 4] = (int8_t)(sum >> 6);
            mins[1][s / 4][4 * c + s % 4] = (int8_t)(sum & 63);
        }
}

SME_INLINE void put_columns(const enum panel_format format, const struct sme_pass *p,
                            uint32_t block) SME_STREAMING
{
    struct sme_scratch *t = p->scratch;
    for (uint32_t j = 0; j < sme_tiles(p); j++) {
        const uint32_t n = sme_cols(p, j), at = block * p->ld + j * SME_COLS;
        const struct act_x256 *x = (const struct act_x256 *)p->x + at;
        const struct act_x256u *u = (const struct act_x256u *)p->x + at;
        const bool is_u = format == PANEL_Q6_K;
        for (uint32_t i = 0; i < SME_LINES; i += 16)
            sme_lines((is_u ? u->u : (const uint8_t *)x->q) + 4 * i,
                      is_u ? sizeof *u : sizeof *x, n, 16, is_u ? 0x80 : 0, &t->columns[j][i]);
        for (uint32_t c = 0; c < SME_COLS; c++)
            t->d[j][0][c] = c < n ? is_u ? u[c].d : x[c].d : 0;
        if (!is_u) put_mins(x, n, t->mins[j]);
    }
}

/* ---- weights -------------------------------------------------------------------------------- */

SME_INLINE void put_q45(svuint8_t q, svuint8_t sh, svuint8_t sl, struct sme_scratch *t,
                        uint32_t line) SME_STREAMING
{
    const svbool_t all = svptrue_b8();
    svst1_u8(all, t->plane[HIGH][line], svmul_u8_x(all, q, sh));
    svst1_u8(all, t->plane[LOW][line], svmul_u8_x(all, q, sl));
}

SME_INLINE void unpack_q45(const enum panel_format format, const uint8_t *block,
                           struct sme_scratch *t) SME_STREAMING
{
    const bool five = format == PANEL_Q5_K;
    const struct panel_q4_k *w4 = (const struct panel_q4_k *)block;
    const struct panel_q5_k *w5 = (const struct panel_q5_k *)block;
    const svbool_t all = svptrue_b8();
    for (uint32_t s = 0; s < 8; s++) {
        const svuint8_t scale = sme_spread(five ? w5->scale[s] : w4->scale[s]);
        const svuint8_t sh = svlsr_n_u8_x(all, scale, 3), sl = svand_n_u8_x(all, scale, 7);
        const uint8_t (*lines)[64] = five ? w5->q[s].low : w4->q[s];
        const svuint8_t bits = svld1_u8(all, five ? w5->q[s].high : lines[0]);
        for (uint32_t g = 0; g < 4; g++) {
            const svuint8_t both = svld1_u8(all, lines[g]);
            svuint8_t first = sme_low(both), second = sme_high(both);
            if (five) {
                first = svorr_u8_x(all, first, sme_fifth(bits, 2 * g));
                second = svorr_u8_x(all, second, sme_fifth(bits, 2 * g + 1));
            }
            put_q45(first, sh, sl, t, 8 * s + 2 * g);
            put_q45(second, sh, sl, t, 8 * s + 2 * g + 1);
        }
    }
    const uint8_t (*min)[16][2] = five ? w5->min : w4->min;
    for (uint32_t r = 0; r < PANEL_ROWS; r++)
        for (uint32_t s = 0; s < 8; s++)
            t->min_lines[s / 4][4 * r + s % 4] = min[s / 2][r][s % 2];
    svst1_f32(svptrue_b32(), t->row_d[0], sme_halves(five ? w5->d : w4->d));
    svst1_f32(svptrue_b32(), t->row_min[0], sme_halves(five ? w5->dmin : w4->dmin));
}

/* scale times four k of each row. Even and odd bytes are multiplied apart, in 16 bits. */
SME_INLINE void put_q6(svuint8_t nibbles, svuint8_t top, svint8_t scale, struct sme_scratch *t,
                       uint32_t line) SME_STREAMING
{
    const svbool_t all = svptrue_b8(), wide = svptrue_b16();
    const svuint8_t six = svorr_u8_x(all, svlsl_n_u8_x(all, nibbles, 2), top);
    const svint8_t q = svasr_n_s8_x(all, svreinterpret_s8_u8(six), 2);
    const svuint16_t even = svreinterpret_u16_s16(svmullb_s16(q, scale)),
                     odd = svreinterpret_u16_s16(svmullt_s16(q, scale));
    const svuint16_t high = svorr_u16_x(wide, svlsr_n_u16_x(wide, even, 8),
                                        svand_n_u16_x(wide, odd, 0xff00));
    const svuint16_t low = svorr_u16_x(wide, svand_n_u16_x(wide, even, 0xff),
                                       svlsl_n_u16_x(wide, odd, 8));
    svst1_u8(all, t->plane[HIGH][line], svreinterpret_u8_u16(high));
    svst1_u8(all, t->plane[LOW][line], svreinterpret_u8_u16(low));
}

SME_INLINE void unpack_q6(const struct panel_q6_k *w, struct sme_scratch *t) SME_STREAMING
{
    const svbool_t all = svptrue_b8();
    for (uint32_t s = 0; s < 16; s++) {
        const svint8_t scale = svreinterpret_s8_u8(sme_spread((const uint8_t *)w->scale[s]));
        const svuint8_t top = svld1_u8(all, w->q[s].high);
        for (uint32_t g = 0; g < 2; g++) {
            const svuint8_t both = svld1_u8(all, w->q[s].low[g]);
            const svuint8_t first = svlsl_u8_x(all, top, svdup_n_u8((uint8_t)(4 * g))),
                            second = svlsl_u8_x(all, top, svdup_n_u8((uint8_t)(4 * g + 2)));
            put_q6(sme_low(both), svand_n_u8_x(all, first, 0xc0), scale, t, 4 * s + 2 * g);
            put_q6(sme_high(both), svand_n_u8_x(all, second, 0xc0), scale, t, 4 * s + 2 * g + 1);
        }
    }
    svst1_f32(svptrue_b32(), t->row_d[0],
              svmul_n_f32_x(svptrue_b32(), sme_halves(w->d), 0.25f));
}

/* ---- sums ----------------------------------------------------------------------------------- */

SME_INLINE void multiply(const enum panel_format format, const struct sme_scratch *t, uint32_t j)
    SME_STREAMING
{
    const svbool_t all = svptrue_b8();
    svzero_za();
    for (uint32_t i = 0; i < SME_LINES; i++) {
        const svint8_t x = svld1_s8(all, t->columns[j][i]);
        if (format == PANEL_Q6_K)
            svmopa_za32_s8_m(HIGH, all, all, svld1_s8(all, (const int8_t *)t->plane[HIGH][i]), x);
        else svusmopa_za32_u8_m(HIGH, all, all, svld1_u8(all, t->plane[HIGH][i]), x);
        svusmopa_za32_u8_m(LOW, all, all, svld1_u8(all, t->plane[LOW][i]), x);
    }
    for (uint32_t i = 0; i < 2 && format != PANEL_Q6_K; i++) {
        const svuint8_t min = svld1_u8(all, t->min_lines[i]);
        svusmopa_za32_u8_m(MINS_HIGH, all, all, min, svld1_s8(all, t->mins[j][0][i]));
        svusmopa_za32_u8_m(MINS_LOW, all, all, min, svld1_s8(all, t->mins[j][1][i]));
    }
}

/* The chain of floats, a row of 16 columns at a time. */
SME_INLINE void finish(const enum panel_format format, struct sme_scratch *t, uint32_t panel,
                       uint32_t j) SME_STREAMING
{
    const svbool_t all = svptrue_b32();
    const svint32_t none = svdup_n_s32(0);
    const svfloat32_t x_d = svld1_f32(all, t->d[j][0]);
    for (uint32_t r = 0; r < PANEL_ROWS; r++) {
        const svint32_t high = svread_hor_za32_s32_m(none, all, HIGH, r),
                        low = svread_hor_za32_s32_m(none, all, LOW, r);
        svfloat32_t sum = svld1_f32(all, t->sum[panel][j][r]), part;
        if (format == PANEL_Q6_K) {
            const svint32_t scaled =
                svlsl_n_s32_x(all, svadd_s32_x(all, svlsl_n_s32_x(all, high, 8), low), 2);
            part = svmul_n_f32_x(all, svcvt_f32_s32_x(all, scaled), t->row_d[0][r]);
        } else {
            const svint32_t scaled = svadd_s32_x(all, svlsl_n_s32_x(all, high, 3), low);
            const svint32_t mins_high = svread_hor_za32_s32_m(none, all, MINS_HIGH, r),
                            mins_low = svread_hor_za32_s32_m(none, all, MINS_LOW, r);
            const svint32_t mins =
                svadd_s32_x(all, svlsl_n_s32_x(all, mins_high, 6), mins_low);
            part = svmul_n_f32_x(all, svcvt_f32_s32_x(all, scaled), t->row_d[0][r]);
            part = svmls_n_f32_x(all, part, svcvt_f32_s32_x(all, mins), t->row_min[0][r]);
        }
        sum = svmla_f32_x(all, sum, part, x_d);
        svst1_f32(all, t->sum[panel][j][r], sum);
    }
}

SME_INLINE void run(const enum panel_format format, const struct sme_pass *p, size_t block_bytes)
    SME_STREAMING
{
    struct sme_scratch *t = p->scratch;
    sme_clear(t);
    for (uint32_t b = 0; b < p->n_k / SME_STEP; b++) {
        put_columns(format, p, b);
        for (uint32_t i = 0; i < p->n_panels; i++) {
            const uint8_t *block = p->panel + i * p->panel_bytes + b * block_bytes;
            if (format == PANEL_Q6_K) unpack_q6((const struct panel_q6_k *)block, t);
            else unpack_q45(format, block, t);
            for (uint32_t j = 0; j < sme_tiles(p); j++) {
                multiply(format, t, j);
                finish(format, t, i, j);
            }
        }
    }
}

#define DEFINE_WIDE(name, format, block, column)                                                   \
    static void name##_pass(void *pass) SME_STREAMING                                              \
    {                                                                                              \
        run(format, pass, sizeof(block));                                                          \
    }                                                                                              \
    static void name(const struct wide_product *w)                                                 \
    {                                                                                              \
        const struct sme_pass first = { .panel_bytes = panel_bytes(format, w->n_k) };              \
        SME_PASSES(w, first, sizeof(column), name##_pass);                                         \
    }
DEFINE_WIDE(wide_q4_k, PANEL_Q4_K, struct panel_q4_k, struct act_x256)
DEFINE_WIDE(wide_q5_k, PANEL_Q5_K, struct panel_q5_k, struct act_x256)
DEFINE_WIDE(wide_q6_k, PANEL_Q6_K, struct panel_q6_k, struct act_x256u)

void cpu_product_kquant_sme(struct cpu_kernels *k)
{
    enum { FROM_COLS = 12 };    /* of a tile's 16 */
    k->wide[PANEL_Q4_K] = (struct wide_kernel){ wide_q4_k, FROM_COLS };
    k->wide[PANEL_Q5_K] = (struct wide_kernel){ wide_q5_k, FROM_COLS };
    k->wide[PANEL_Q6_K] = (struct wide_kernel){ wide_q6_k, FROM_COLS };
}
