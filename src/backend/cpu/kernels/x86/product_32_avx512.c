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
#include "backend/cpu/kernels/quantise.h"
#include "quant/blocks.h"

/* Q4_0: the high nibble is in place at the top of its byte and costs one `and`. */
INLINE void unpack_q4_0(const uint8_t *lines, __m512i v[8])
{
    const __m512i top = _mm512_set1_epi8((char)0xf0);

    UNROLL for (int g = 0; g < 4; g++) {
        const __m512i both = _mm512_load_si512(lines + g * 64);
        v[2 * g] = _mm512_and_si512(_mm512_slli_epi16(both, 4), top);
        v[2 * g + 1] = _mm512_and_si512(both, top);
    }
}

INLINE void unpack_q4_1(const uint8_t *lines, __m512i v[8])
{
    const __m512i nibble = _mm512_set1_epi8(15);

    UNROLL for (int g = 0; g < 4; g++) {
        const __m512i both = _mm512_load_si512(lines + g * 64);
        v[2 * g] = _mm512_and_si512(both, nibble);
        v[2 * g + 1] = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
    }
}

/* Fifth bit on top, nibble below it. */
INLINE void unpack_q5_0(const uint8_t *lines, __m512i v[8])
{
    const __m512i nibble = _mm512_set1_epi8(0x78);
    const __m512i bits = _mm512_load_si512(lines);

    UNROLL for (int g = 0; g < 4; g++) {
        const __m512i both = _mm512_load_si512(lines + 64 + g * 64);
        v[2 * g] = and_or(_mm512_slli_epi16(both, 3), nibble, move_bit(bits, 2 * g, 7));
        v[2 * g + 1] = and_or(_mm512_srli_epi16(both, 1), nibble, move_bit(bits, 2 * g + 1, 7));
    }
}

INLINE void unpack_q5_1(const uint8_t *lines, __m512i v[8])
{
    const __m512i nibble = _mm512_set1_epi8(15);
    const __m512i bits = _mm512_load_si512(lines);

    UNROLL for (int g = 0; g < 4; g++) {
        const __m512i both = _mm512_load_si512(lines + 64 + g * 64);
        v[2 * g] = and_or(both, nibble, move_bit(bits, 2 * g, 4));
        v[2 * g + 1] = and_or(_mm512_srli_epi16(both, 4), nibble, move_bit(bits, 2 * g + 1, 4));
    }
}

/* Nibbles look up their quanta, shifted, + 128. */
INLINE void unpack_by_table(const int8_t codebook[16], const int shift, const uint8_t *lines,
                            __m512i v[8])
{
    const __m128i quanta = _mm_loadu_si128((const __m128i *)codebook);
    const __m128i top = _mm_and_si128(_mm_slli_epi16(quanta, shift),
                                      _mm_set1_epi8((char)(0xff << shift)));
    const __m512i table = _mm512_broadcast_i32x4(_mm_xor_si128(top, _mm_set1_epi8((char)0x80)));
    const __m512i nibble = _mm512_set1_epi8(15);

    UNROLL for (int g = 0; g < 4; g++) {
        const __m512i both = _mm512_load_si512(lines + g * 64);
        const __m512i high = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
        v[2 * g] = _mm512_shuffle_epi8(table, _mm512_and_si512(both, nibble));
        v[2 * g + 1] = _mm512_shuffle_epi8(table, high);
    }
}

/* format is a constant: one branch is left. */
INLINE void unpack(const enum panel_format format, const uint8_t *lines, __m512i v[8])
{
    switch (format) {
    case PANEL_Q4_0: unpack_q4_0(lines, v); break;
    case PANEL_Q4_1: unpack_q4_1(lines, v); break;
    case PANEL_Q5_0: unpack_q5_0(lines, v); break;
    case PANEL_Q5_1: unpack_q5_1(lines, v); break;
    case PANEL_IQ4_NL: unpack_by_table(iq4_codebook, 0, lines, v); break;
    case PANEL_MXFP4: unpack_by_table(mxfp4_codebook, 3, lines, v); break;
    default:
        UNROLL for (int g = 0; g < 8; g++) v[g] = _mm512_load_si512(lines + g * 64);
    }
}

/* The floats of which these are the exponent fields. */
INLINE __m512 load_exponents(const uint8_t *fields)
{
    const __m512i wide = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)fields));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 23));
}

INLINE void product_32(const enum panel_format format, const uint8_t *panel, uint32_t n_k,
                       const struct act_x32 *x, uint32_t ld, float *out, size_t ld_out,
                       const int n_cols, const bool fetch, size_t ahead_bytes)
{
    const bool has_min = panel32_has_min(format);
    const int n_lines = (int)panel32_n_lines(format), shift = panel32_shift(format);
    const size_t scale_bytes = panel32_block_scales(format);
    const uint8_t *scales = panel, *lines = panel + panel32_scales_bytes(format, n_k);
    __m512 sum[MAX_PRODUCT_COLS];

    UNROLL for (int c = 0; c < n_cols; c++) sum[c] = _mm512_setzero_ps();
    for (uint32_t b = 0; b < n_k / 32; b++, scales += scale_bytes, lines += n_lines * 64, x += ld) {
        __m512i v[8], dot[MAX_PRODUCT_COLS];
        unpack(format, lines, v);
        if (fetch) {
            fetch_lines(scales + ahead_bytes, 1);
            fetch_lines(lines + ahead_bytes, n_lines);
        }
        UNROLL for (int c = 0; c < n_cols; c++)
            dot[c] = has_min ? _mm512_setzero_si512() : _mm512_set1_epi32(x[c].start);
        UNROLL for (int g = 0; g < 8; g++)
            UNROLL for (int c = 0; c < n_cols; c++)
                dot[c] = _mm512_dpbusd_epi32(dot[c], v[g], broadcast4(x[c].q + g * 4));

        __m512 d = format == PANEL_MXFP4 ? load_exponents(scales)
                                         : load_halves((const uint16_t *)scales);
        if (shift) d = _mm512_mul_ps(d, _mm512_set1_ps(1.0f / (float)(1 << shift)));
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
