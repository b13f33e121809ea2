/* Products of panels of floats, AVX-512. One multiply-add of 16 rows a k and column, whose
 * activation comes from memory with it; 12 columns take 24 of 32 registers. AVX512-BF16 has twice
 * the rate, but it rounds activations to 8 bits of mantissa and takes small numbers for 0, so it
 * gives other bytes than every other instruction set. */
#include "backend/cpu/kernels/x86/product_avx512.h"
#include "backend/cpu/panels/panel_layout.h"

INLINE void load_two_k(const enum panel_format format, const uint8_t *line, __m512 *first,
                       __m512 *second)
{
    if (format == PANEL_F16) {
        *first = load_halves((const uint16_t *)line);
        *second = load_halves((const uint16_t *)line + PANEL_ROWS);
    } else if (format == PANEL_BF16) {
        const __m512i both = _mm512_load_si512(line), high = _mm512_set1_epi32((int)0xffff0000);
        *first = _mm512_castsi512_ps(_mm512_slli_epi32(both, 16));
        *second = _mm512_castsi512_ps(_mm512_and_si512(both, high));
    } else {
        *first = _mm512_load_ps(line);
        *second = _mm512_load_ps(line + PANEL_LINE);
    }
}

INLINE void product_floats(const enum panel_format format, const uint8_t *panel, uint32_t n_k,
                           const struct act_f32 *x, uint32_t ld, float *out, size_t ld_out,
                           const int n_cols, const bool fetch, size_t ahead_bytes)
{
    const size_t two_bytes = 2 * PANEL_ROWS * panel_float_bytes(format);
    __m512 sum[MAX_PRODUCT_COLS], part[MAX_PRODUCT_COLS];

    UNROLL for (int c = 0; c < n_cols; c++) sum[c] = _mm512_setzero_ps();
    for (uint32_t b = 0; b < n_k / 32; b++, x += ld) {
        UNROLL for (int c = 0; c < n_cols; c++) part[c] = _mm512_setzero_ps();
        for (int k = 0; k < 32; k += 2, panel += two_bytes) {
            __m512 first, second;
            load_two_k(format, panel, &first, &second);
            if (fetch) fetch_lines(panel + ahead_bytes, (int)(two_bytes / PANEL_LINE));
            UNROLL for (int c = 0; c < n_cols; c++)
                part[c] = _mm512_fmadd_ps(first, _mm512_set1_ps(x[c].v[k]), part[c]);
            UNROLL for (int c = 0; c < n_cols; c++)
                part[c] = _mm512_fmadd_ps(second, _mm512_set1_ps(x[c].v[k + 1]), part[c]);
        }
        UNROLL for (int c = 0; c < n_cols; c++) sum[c] = _mm512_add_ps(sum[c], part[c]);
    }
    UNROLL for (int c = 0; c < n_cols; c++) _mm512_storeu_ps(out + c * ld_out, sum[c]);
}

DEFINE_PRODUCT(product_f16, product_floats, PANEL_F16)
DEFINE_PRODUCT(product_bf16, product_floats, PANEL_BF16)
DEFINE_PRODUCT(product_f32, product_floats, PANEL_F32)

void cpu_product_floats_avx512(struct cpu_kernels *k)
{
    k->product[PANEL_F16] = product_f16;
    k->product[PANEL_BF16] = product_bf16;
    k->product[PANEL_F32] = product_f32;
}
