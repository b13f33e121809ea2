/* Products of the 32-blocks, AVX-512 with VNNI and GFNI: Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL,
 * MXFP4. Layouts and the chain of floats: panel_layout.h.
 *
 * Signed formats unpack to bytes around 128, so one start that came with the activations serves
 * them all at no arithmetic cost. Multiply-pipe operations per 16 rows x 32 x column: 8 vpdpbusd +
 * 1 scale product + 1 fma = 10, with a minimum 1 fma more: at most 80 % (73 %) of the int8 peak.
 * As many loads, since each vpdpbusd broadcasts its activations from memory.
 *
 * The prefetch of the next panel lets this run from memory: see product_kquant_avx512.c. */
#include "backend/cpu/panels/panel_layout.h"
#include "backend/cpu/kernels/x86/product_avx512.h"
#include "backend/cpu/kernels/x86/unpack_32_avx512.h"
#include "backend/cpu/kernels/quantise.h"

INLINE void product_32(const enum panel_format format, const uint8_t *panel, uint32_t n_k,
                       const struct act_x32 *x, uint32_t ld, float *out, size_t ld_out,
                       const int n_cols, const bool fetch, size_t ahead_bytes)
{
    const bool has_min = panel32_has_min(format);
    const int n_lines = (int)panel32_n_lines(format);
    const size_t scale_bytes = panel32_block_scales(format);
    const uint8_t *scales = panel, *lines = panel + panel32_scales_bytes(format, n_k);
    __m512 sum[MAX_PRODUCT_COLS];

    UNROLL for (int c = 0; c < n_cols; c++) sum[c] = _mm512_setzero_ps();
    for (uint32_t b = 0; b < n_k / 32; b++, scales += scale_bytes, lines += n_lines * 64, x += ld) {
        __m512i v[8], dot[MAX_PRODUCT_COLS];
        unpack_32(format, lines, v);
        if (fetch) {
            fetch_lines(scales + ahead_bytes, 1);
            fetch_lines(lines + ahead_bytes, n_lines);
        }
        UNROLL for (int c = 0; c < n_cols; c++)
            dot[c] = has_min ? _mm512_setzero_si512() : _mm512_set1_epi32(x[c].start);
        UNROLL for (int g = 0; g < 8; g++)
            UNROLL for (int c = 0; c < n_cols; c++)
                dot[c] = _mm512_dpbusd_epi32(dot[c], v[g], broadcast4(x[c].q + g * 4));

        const __m512 d = load_scales_32(format, scales);
        UNROLL for (int c = 0; c < n_cols; c++)
            sum[c] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[c]),
                                     _mm512_mul_ps(d, _mm512_set1_ps(x[c].d)), sum[c]);
        if (has_min) {
            const __m512 m = load_halves((const uint16_t *)scales + PANEL_ROWS);
            UNROLL for (int c = 0; c < n_cols; c++)
                sum[c] = _mm512_fmadd_ps(m, _mm512_set1_ps(x[c].d_sum), sum[c]);
        }
    }
    UNROLL for (int c = 0; c < n_cols; c++) _mm512_storeu_ps(out + c * ld_out, sum[c]);
}

DEFINE_PRODUCT(product_q8_0, product_32, PANEL_Q8_0)
DEFINE_PRODUCT(product_q4_0, product_32, PANEL_Q4_0)
DEFINE_PRODUCT(product_q4_1, product_32, PANEL_Q4_1)
DEFINE_PRODUCT(product_q5_0, product_32, PANEL_Q5_0)
DEFINE_PRODUCT(product_q5_1, product_32, PANEL_Q5_1)
DEFINE_PRODUCT(product_iq4_nl, product_32, PANEL_IQ4_NL)
DEFINE_PRODUCT(product_mxfp4, product_32, PANEL_MXFP4)

void cpu_product_32_avx512(struct cpu_kernels *k)
{
    k->product[PANEL_Q8_0] = product_q8_0;
    k->product[PANEL_Q4_0] = product_q4_0;
    k->product[PANEL_Q4_1] = product_q4_1;
    k->product[PANEL_Q5_0] = product_q5_0;
    k->product[PANEL_Q5_1] = product_q5_1;
    k->product[PANEL_IQ4_NL] = product_iq4_nl;
    k->product[PANEL_MXFP4] = product_mxfp4;
    k->quantise_x32 = quantise_x32_avx512;
}
