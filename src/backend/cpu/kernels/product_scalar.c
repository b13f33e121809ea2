/* Panel products in plain C: the specification. Integer sums are exact, so they are written in the
 * most readable order; each column and row then has one chain of floats in block order, the one
 * panel_layout.h lists, with every fused operation written as fmaf. Any instruction set's kernel
 * gives these very bytes. */
#include <math.h>

#include "backend/cpu/kernels.h"
#include "backend/cpu/panels/panel_layout.h"
#include "backend/cpu/kernels/quantise.h"
#include "quant/quant.h"

static int32_t dot(const int8_t *a, const int8_t *b, int n)
{
    int32_t sum = 0;

    for (int k = 0; k < n; k++) sum += a[k] * b[k];
    return sum;
}

static int32_t dot_16_unsigned(const int8_t *a, const uint8_t *b)
{
    int32_t sum = 0;

    for (int k = 0; k < 16; k++) sum += a[k] * b[k];
    return sum;
}

/* One block of one row of Q4_K or Q5_K against one column. */
static float add_block_q45_k(float sum, const int8_t *q, const uint8_t scale[8][16],
                             const uint8_t min[4][16][2], float d, float dmin, uint32_t row,
                             const struct act_x256 *x)
{
    int32_t scaled = 0, mins = 0;

    for (int s = 0; s < 8; s++) {
        scaled += scale[s][row] * dot(q + 32 * s, x->q + 32 * s, 32);
        mins += min[s / 2][row][s % 2] * x->sum32[s];
    }
    float t = (float)scaled * d;
    t = fmaf(-(float)mins, dmin, t);
    return fmaf(t, x->d, sum);
}

static void product_q4_k(const uint8_t *panel, uint32_t n_k, const void *x, uint32_t ld, float *out,
                         size_t ld_out, uint32_t n_cols, size_t ahead_bytes)
{
    (void)ahead_bytes;
    for (uint32_t row = 0; row < PANEL_ROWS; row++) {
        const struct panel_q4_k *w = (const struct panel_q4_k *)panel;
        const struct act_x256 *xb = x;
        float sum[MAX_PRODUCT_COLS] = { 0 };
        for (uint32_t b = 0; b < n_k / 256; b++, w++, xb += ld) {
            const float d = f32_of_f16(w->d[row]), dmin = f32_of_f16(w->dmin[row]);
            int8_t q[256];
            panel_quanta_q4_k(w, row, q);
            for (uint32_t c = 0; c < n_cols; c++)
                sum[c] = add_block_q45_k(sum[c], q, w->scale, w->min, d, dmin, row, &xb[c]);
        }
        for (uint32_t c = 0; c < n_cols; c++) out[c * ld_out + row] = sum[c];
    }
}

static void product_q5_k(const uint8_t *panel, uint32_t n_k, const void *x, uint32_t ld, float *out,
                         size_t ld_out, uint32_t n_cols, size_t ahead_bytes)
{
    (void)ahead_bytes;
    for (uint32_t row = 0; row < PANEL_ROWS; row++) {
        const struct panel_q5_k *w = (const struct panel_q5_k *)panel;
        const struct act_x256 *xb = x;
        float sum[MAX_PRODUCT_COLS] = { 0 };
        for (uint32_t b = 0; b < n_k / 256; b++, w++, xb += ld) {
            const float d = f32_of_f16(w->d[row]), dmin = f32_of_f16(w->dmin[row]);
            int8_t q[256];
            panel_quanta_q5_k(w, row, q);
            for (uint32_t c = 0; c < n_cols; c++)
                sum[c] = add_block_q45_k(sum[c], q, w->scale, w->min, d, dmin, row, &xb[c]);
        }
        for (uint32_t c = 0; c < n_cols; c++) out[c * ld_out + row] = sum[c];
    }
}

static void product_q6_k(const uint8_t *panel, uint32_t n_k, const void *x, uint32_t ld, float *out,
                         size_t ld_out, uint32_t n_cols, size_t ahead_bytes)
{
    (void)ahead_bytes;
    for (uint32_t row = 0; row < PANEL_ROWS; row++) {
        const struct panel_q6_k *w = (const struct panel_q6_k *)panel;
        const struct act_x256u *xb = x;
        float sum[MAX_PRODUCT_COLS] = { 0 };
        for (uint32_t b = 0; b < n_k / 256; b++, w++, xb += ld) {
            const float d = f32_of_f16(w->d[row]) * 0.25f;
            int8_t q[256];
            panel_quanta_q6_k(w, row, q);
            for (uint32_t c = 0; c < n_cols; c++) {
                int32_t scaled = w->start[row];
                for (int s = 0; s < 16; s++)
                    scaled += w->scale[s][row] * 4 * dot_16_unsigned(q + 16 * s, xb[c].u + 16 * s);
                sum[c] = fmaf((float)scaled * d, xb[c].d, sum[c]);
            }
        }
        for (uint32_t c = 0; c < n_cols; c++) out[c * ld_out + row] = sum[c];
    }
}

/* format is a constant where this is inlined. The SIMD kernels' start and bias of 128 cancel: what
 * remains is the sum of (quantum << shift) * x.q. */
static inline void product_32(enum panel_format format, const uint8_t *panel, uint32_t n_k,
                              const struct act_x32 *x, uint32_t ld, float *out, size_t ld_out,
                              uint32_t n_cols)
{
    const bool has_min = panel32_has_min(format);
    const size_t block_lines = panel32_n_lines(format) * PANEL_LINE;
    const int factor = 1 << panel32_shift(format);

    for (uint32_t row = 0; row < PANEL_ROWS; row++) {
        const uint8_t *scales = panel, *lines = panel + panel32_scales_bytes(format, n_k);
        const struct act_x32 *xb = x;
        float sum[MAX_PRODUCT_COLS] = { 0 };
        for (uint32_t b = 0; b < n_k / 32; b++, lines += block_lines, xb += ld) {
            const struct panel32_scale s = panel32_scale_of(format, scales, row);
            const float d = s.d * (1.0f / (float)factor);
            int8_t q[32];
            panel_quanta_32(format, lines, row, q);
            for (uint32_t c = 0; c < n_cols; c++) {
                sum[c] = fmaf((float)(dot(q, xb[c].q, 32) * factor), d * xb[c].d, sum[c]);
                if (has_min) sum[c] = fmaf(s.m, xb[c].d_sum, sum[c]);
            }
            scales += panel32_block_scales(format);
        }
        for (uint32_t c = 0; c < n_cols; c++) out[c * ld_out + row] = sum[c];
    }
}

#define DEFINE_PRODUCT_32(name, format)                                                            \
    static void name(const uint8_t *panel, uint32_t n_k, const void *x, uint32_t ld, float *out,   \
                     size_t ld_out, uint32_t n_cols, size_t ahead_bytes)                           \
    {                                                                                              \
        (void)ahead_bytes;                                                                         \
        product_32(format, panel, n_k, x, ld, out, ld_out, n_cols);                                \
    }
DEFINE_PRODUCT_32(product_q8_0, PANEL_Q8_0)
DEFINE_PRODUCT_32(product_q4_0, PANEL_Q4_0)
DEFINE_PRODUCT_32(product_q4_1, PANEL_Q4_1)
DEFINE_PRODUCT_32(product_q5_0, PANEL_Q5_0)
DEFINE_PRODUCT_32(product_q5_1, PANEL_Q5_1)
DEFINE_PRODUCT_32(product_iq4_nl, PANEL_IQ4_NL)
DEFINE_PRODUCT_32(product_mxfp4, PANEL_MXFP4)

void cpu_product_scalar(struct cpu_kernels *k)
{
    k->product[PANEL_Q4_K] = product_q4_k;
    k->product[PANEL_Q5_K] = product_q5_k;
    k->product[PANEL_Q6_K] = product_q6_k;
    k->product[PANEL_Q8_0] = product_q8_0;
    k->product[PANEL_Q4_0] = product_q4_0;
    k->product[PANEL_Q4_1] = product_q4_1;
    k->product[PANEL_Q5_0] = product_q5_0;
    k->product[PANEL_Q5_1] = product_q5_1;
    k->product[PANEL_IQ4_NL] = product_iq4_nl;
    k->product[PANEL_MXFP4] = product_mxfp4;
    k->quantise_x256 = quantise_x256_scalar;
    k->quantise_x32 = quantise_x32_scalar;
}
