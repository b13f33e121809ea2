/* Products of panels of floats in plain C: the specification, see panel_layout.h. */
#include <math.h>

#include "backend/cpu/kernels.h"
#include "backend/cpu/panels/panel_layout.h"

static float dot_32(const float *w, const float *x)
{
    float part = 0;

    for (int k = 0; k < 32; k++) part = fmaf(w[k], x[k], part);
    return part;
}

static void product_floats(enum panel_format format, const uint8_t *panel, uint32_t n_k,
                           const struct act_f32 *x, uint32_t ld, float *out, size_t ld_out,
                           uint32_t n_cols)
{
    for (uint32_t row = 0; row < PANEL_ROWS; row++) {
        float sum[MAX_PRODUCT_COLS] = { 0 };
        for (uint32_t b = 0; b < n_k / 32; b++) {
            float w[32];
            panel_floats_32(format, panel, row, 32 * b, w);
            for (uint32_t c = 0; c < n_cols; c++)
                sum[c] += dot_32(w, x[(size_t)b * ld + c].v);
        }
        for (uint32_t c = 0; c < n_cols; c++) out[c * ld_out + row] = sum[c];
    }
}

#define DEFINE_PRODUCT(name, format)                                                               \
    static void name(const uint8_t *panel, uint32_t n_k, const void *x, uint32_t ld, float *out,   \
                     size_t ld_out, uint32_t n_cols, size_t ahead_bytes)                           \
    {                                                                                              \
        (void)ahead_bytes;                                                                         \
        product_floats(format, panel, n_k, x, ld, out, ld_out, n_cols);                            \
    }
DEFINE_PRODUCT(product_f16, PANEL_F16)
DEFINE_PRODUCT(product_bf16, PANEL_BF16)
DEFINE_PRODUCT(product_f32, PANEL_F32)

void cpu_product_floats_scalar(struct cpu_kernels *k)
{
    k->product[PANEL_F16] = product_f16;
    k->product[PANEL_BF16] = product_bf16;
    k->product[PANEL_F32] = product_f32;
}
