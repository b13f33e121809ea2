/* Products of the K-quants, AVX-512 with VNNI and GFNI: Q4_K, Q5_K, Q6_K. Layouts and the chain of
 * floats: panel_layout.h.
 *
 * vpdpbusd adds four neighbouring k of a row into the row's own 32-bit lane. Multiply-pipe
 * operations per 16 rows x 256 x column: Q4_K and Q5_K 64 vpdpbusd + 8 vpmulld (scales) +
 * 4 vpdpwssd (minima, in pairs) + 3 float = 79; Q6_K 64 + 16 + 2 = 82. So at most 81 and 78 % of
 * the int8 peak can be reached. What a panel costs (loads, masks, shifts) is shared by the columns.
 *
 * Every load of a line is accompanied by a prefetch of the same line of the next panel. Without it
 * a core reads panels from memory at a third of the speed: the hardware prefetchers do not keep up
 * with a loop that computes this much per line. Measured on a Zen 5 core (family 26 model 2), 20
 * columns, 112 MB of Q4_K panels: 384 against 143 GMAC/s.
 *
 * Q6_K could have unsigned weights and accumulators started at -32 * sum of 16 activations, which
 * saves 1.9 % of the bytes but needs 16 more broadcast loads a column: 337 against 359 GMAC/s. */
#include "backend/cpu/panels/panel_layout.h"
#include "backend/cpu/kernels/x86/product_avx512.h"
#include "backend/cpu/kernels/quantise.h"

/* sum += x.d * (d * scaled - dmin * (minima . activation sums)) */
INLINE void finish_block(const uint8_t min[4][16][2], const uint16_t *d_halves,
                         const uint16_t *dmin_halves, const struct act_x256 *x,
                         const __m512i *scaled, __m512 *sum, const int n_cols)
{
    __m512i mins[MAX_PRODUCT_COLS];

    UNROLL for (int c = 0; c < n_cols; c++) mins[c] = _mm512_setzero_si512();
    UNROLL for (int p = 0; p < 4; p++) {
        const __m512i pair = _mm512_cvtepu8_epi16(_mm256_load_si256((const __m256i *)min[p]));
        UNROLL for (int c = 0; c < n_cols; c++)
            mins[c] = _mm512_dpwssd_epi32(mins[c], pair, broadcast4(x[c].sum32 + 2 * p));
    }
    const __m512 d = load_halves(d_halves), dmin = load_halves(dmin_halves);
    UNROLL for (int c = 0; c < n_cols; c++) {
        __m512 t = _mm512_mul_ps(_mm512_cvtepi32_ps(scaled[c]), d);
        t = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(mins[c]), dmin, t);
        sum[c] = _mm512_fmadd_ps(t, _mm512_set1_ps(x[c].d), sum[c]);
    }
}

/* scaled += scale * dot */
INLINE void add_scaled(__m512i scale, const __m512i *dot, __m512i *scaled, const int n_cols)
{
    UNROLL for (int c = 0; c < n_cols; c++)
        scaled[c] = _mm512_add_epi32(scaled[c], _mm512_mullo_epi32(dot[c], scale));
}

/* Q4_K and Q5_K differ in the line of fifth bits only. */
INLINE void product_q45_k(const enum panel_format format, const uint8_t *panel, uint32_t n_k,
                          const struct act_x256 *x, uint32_t ld, float *out, size_t ld_out,
                          const int n_cols, const bool fetch, size_t ahead_bytes)
{
    const bool five = format == PANEL_Q5_K;
    const int n_lines = five ? 5 : 4;               /* of a sub-block */
    const size_t block_bytes = five ? sizeof(struct panel_q5_k) : sizeof(struct panel_q4_k);
    const __m512i nibble = _mm512_set1_epi8(15);
    __m512 sum[MAX_PRODUCT_COLS];

    UNROLL for (int c = 0; c < n_cols; c++) sum[c] = _mm512_setzero_ps();
    for (uint32_t b = 0; b < n_k / 256; b++, panel += block_bytes, x += ld) {
        const struct panel_q4_k *w4 = (const struct panel_q4_k *)panel;
        const struct panel_q5_k *w5 = (const struct panel_q5_k *)panel;
        const uint8_t (*scale_rows)[16] = five ? w5->scale : w4->scale;
        __m512i scaled[MAX_PRODUCT_COLS];
        UNROLL for (int c = 0; c < n_cols; c++) scaled[c] = _mm512_setzero_si512();

        for (int s = 0; s < 8; s++) {
            const uint8_t *lines = five ? w5->q[s].low[0] : w4->q[s][0];
            const __m512i bits = five ? _mm512_load_si512(w5->q[s].high) : nibble;
            __m512i dot[MAX_PRODUCT_COLS];
            UNROLL for (int c = 0; c < n_cols; c++) dot[c] = _mm512_setzero_si512();
            if (fetch) fetch_lines(panel + ahead_bytes + s * n_lines * 64, n_lines);
            UNROLL for (int g = 0; g < 4; g++) {
                const __m512i both = _mm512_load_si512(lines + g * 64);
                const __m512i shifted = _mm512_srli_epi16(both, 4);
                const __m512i low = five ? and_or(both, nibble, move_bit(bits, 2 * g, 4))
                                         : _mm512_and_si512(both, nibble);
                const __m512i high = five ? and_or(shifted, nibble, move_bit(bits, 2 * g + 1, 4))
                                          : _mm512_and_si512(shifted, nibble);
                const int k = s * 32 + g * 8;
                UNROLL for (int c = 0; c < n_cols; c++)
                    dot[c] = _mm512_dpbusd_epi32(dot[c], low, broadcast4(x[c].q + k));
                UNROLL for (int c = 0; c < n_cols; c++)
                    dot[c] = _mm512_dpbusd_epi32(dot[c], high, broadcast4(x[c].q + k + 4));
            }
            add_scaled(_mm512_cvtepu8_epi32(_mm_load_si128((const __m128i *)scale_rows[s])), dot,
                       scaled, n_cols);
        }
        if (fetch) fetch_lines(panel + ahead_bytes + 8 * n_lines * 64, 5);
        finish_block(five ? w5->min : w4->min, five ? w5->d : w4->d, five ? w5->dmin : w4->dmin, x,
                     scaled, sum, n_cols);
    }
    UNROLL for (int c = 0; c < n_cols; c++) _mm512_storeu_ps(out + c * ld_out, sum[c]);
}

/* 16 k of signed weights 4 (q - 32): two bits of `high` on top of a nibble. The bit matrices take a
 * byte to (byte << 2) & 0x3c and to (byte >> 2) & 0x3c. */
INLINE void unpack_q6_k(const struct panel_q6_k *w, int s, __m512i v[4])
{
    const __m512i top = _mm512_set1_epi8((char)0xc0);
    const __m512i low_bits = _mm512_set1_epi64(0x0000010204080000);
    const __m512i high_bits = _mm512_set1_epi64(0x0000102040800000);
    const __m512i high = _mm512_load_si512(w->q[s].high);
    const __m512i low0 = _mm512_load_si512(w->q[s].low[0]);
    const __m512i low1 = _mm512_load_si512(w->q[s].low[1]);

    v[0] = pick(top, high, _mm512_gf2p8affine_epi64_epi8(low0, low_bits, 0));
    v[1] = pick(top, _mm512_slli_epi16(high, 2), _mm512_gf2p8affine_epi64_epi8(low0, high_bits, 0));
    v[2] = pick(top, _mm512_slli_epi16(high, 4), _mm512_gf2p8affine_epi64_epi8(low1, low_bits, 0));
    v[3] = pick(top, _mm512_slli_epi16(high, 6), _mm512_gf2p8affine_epi64_epi8(low1, high_bits, 0));
}

INLINE void product_q6_k_body(const enum panel_format format, const uint8_t *panel, uint32_t n_k,
                              const struct act_x256u *x, uint32_t ld, float *out, size_t ld_out,
                              const int n_cols, const bool fetch, size_t ahead_bytes)
{
    const struct panel_q6_k *w = (const struct panel_q6_k *)panel;
    __m512 sum[MAX_PRODUCT_COLS];

    (void)format;
    UNROLL for (int c = 0; c < n_cols; c++) sum[c] = _mm512_setzero_ps();
    for (uint32_t b = 0; b < n_k / 256; b++, w++, x += ld) {
        const uint8_t *ahead = (const uint8_t *)w + ahead_bytes;
        __m512i scaled[MAX_PRODUCT_COLS];
        UNROLL for (int c = 0; c < n_cols; c++) scaled[c] = _mm512_load_si512(w->start);

        for (int s = 0; s < 16; s++) {
            __m512i v[4], dot[MAX_PRODUCT_COLS];
            unpack_q6_k(w, s, v);
            if (fetch) fetch_lines(ahead + s * 3 * 64, 3);
            UNROLL for (int c = 0; c < n_cols; c++) dot[c] = _mm512_setzero_si512();
            UNROLL for (int g = 0; g < 4; g++)
                UNROLL for (int c = 0; c < n_cols; c++)
                    dot[c] = _mm512_dpbusd_epi32(dot[c], broadcast4(x[c].u + s * 16 + g * 4), v[g]);
            add_scaled(_mm512_cvtepi8_epi32(_mm_load_si128((const __m128i *)w->scale[s])), dot,
                       scaled, n_cols);
        }
        if (fetch) fetch_lines(ahead + 48 * 64, 6);
        const __m512 d = _mm512_mul_ps(load_halves(w->d), _mm512_set1_ps(0.25f));
        UNROLL for (int c = 0; c < n_cols; c++) {
            const __m512 t = _mm512_mul_ps(_mm512_cvtepi32_ps(scaled[c]), d);
            sum[c] = _mm512_fmadd_ps(t, _mm512_set1_ps(x[c].d), sum[c]);
        }
    }
    UNROLL for (int c = 0; c < n_cols; c++) _mm512_storeu_ps(out + c * ld_out, sum[c]);
}

DEFINE_PRODUCT(product_q4_k, product_q45_k, PANEL_Q4_K)
DEFINE_PRODUCT(product_q5_k, product_q45_k, PANEL_Q5_K)
DEFINE_PRODUCT(product_q6_k, product_q6_k_body, PANEL_Q6_K)

void cpu_product_kquant_avx512(struct cpu_kernels *k)
{
    k->product[PANEL_Q4_K] = product_q4_k;
    k->product[PANEL_Q5_K] = product_q5_k;
    k->product[PANEL_Q6_K] = product_q6_k;
    k->quantise_x256 = quantise_x256_avx512;
}
