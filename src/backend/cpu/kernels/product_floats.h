/* Products of panels of floats for registers of ROWS floats; product_rows.h, which includes this,
 * says what the primitives are. The chain: panel_layout.h. A chain of 32 starts anew with every
 * block, so that a processor works on several at once. */

/* Two k of ROWS rows, of a line; of F32, of two lines. */
INLINE void load_two_k(const enum panel_format format, const uint8_t *line, const int row,
                       vf *first, vf *second)
{
    if (format == PANEL_F16) {
        *first = load_f16((const uint16_t *)line + row);
        *second = load_f16((const uint16_t *)line + PANEL_ROWS + row);
    } else if (format == PANEL_BF16) {
        const vi both = load_lines(line + 4 * row);
        *first = float_of_bits(shl(both, 16));
        *second = float_of_bits(high_halves(both));
    } else {
        *first = load_f((const float *)line + row);
        *second = load_f((const float *)line + PANEL_ROWS + row);
    }
}

/* n_regs registers of rows from `row` on, times n_cols columns: constants, of which one is 1. */
INLINE void rows_floats(const enum panel_format format, const uint8_t *panel, uint32_t n_k,
                        const struct act_f32 *x, uint32_t ld, float *out, size_t ld_out,
                        const int row, const int n_regs, const int n_cols)
{
    const size_t two_bytes = 2 * PANEL_ROWS * panel_float_bytes(format);
    vf sum[FLOAT_GROUP], part[FLOAT_GROUP];

    for (int i = 0; i < n_regs * n_cols; i++) sum[i] = set1_f(0);
    for (uint32_t b = 0; b < n_k / 32; b++, x += ld) {
        for (int i = 0; i < n_regs * n_cols; i++) part[i] = set1_f(0);
        for (int k = 0; k < 32; k += 2, panel += two_bytes)
            UNROLL for (int r = 0; r < n_regs; r++) {
                vf first, second;
                load_two_k(format, panel, row + r * ROWS, &first, &second);
                UNROLL for (int c = 0; c < n_cols; c++) {
                    const int i = r * n_cols + c;
                    part[i] = fma_f(first, set1_f(x[c].v[k]), part[i]);
                    part[i] = fma_f(second, set1_f(x[c].v[k + 1]), part[i]);
                }
            }
        for (int i = 0; i < n_regs * n_cols; i++) sum[i] = add_f(sum[i], part[i]);
    }
    for (int r = 0; r < n_regs; r++)
        for (int c = 0; c < n_cols; c++)
            store_f(out + c * ld_out + row + r * ROWS, sum[r * n_cols + c]);
}

/* Passes of FLOAT_GROUP columns, of 4, then the rest one by one, all rows of such a one
 * together. What comes next lies behind what is read, which processors fetch unasked. */
#define FLOAT_PASSES(format, n)                                                                    \
    for (; c + (n) <= n_cols; c += (n))                                                            \
        for (int row = 0; row < PANEL_ROWS; row += ROWS)                                           \
            rows_floats(format, panel, n_k, (const struct act_f32 *)x + c, ld, out + c * ld_out,   \
                        ld_out, row, 1, n);

#define DEFINE_FLOAT_PRODUCT(name, format)                                                         \
    static void name(const uint8_t *panel, uint32_t n_k, const void *x, uint32_t ld, float *out,   \
                     size_t ld_out, uint32_t n_cols, size_t ahead_bytes)                           \
    {                                                                                              \
        uint32_t c = 0;                                                                            \
        (void)ahead_bytes;                                                                         \
        FLOAT_PASSES(format, FLOAT_GROUP)                                                          \
        FLOAT_PASSES(format, 4)                                                                    \
        for (; c < n_cols; c++)                                                                    \
            rows_floats(format, panel, n_k, (const struct act_f32 *)x + c, ld, out + c * ld_out,   \
                        ld_out, 0, PANEL_ROWS / ROWS, 1);                                          \
    }

DEFINE_FLOAT_PRODUCT(product_f16, PANEL_F16)
DEFINE_FLOAT_PRODUCT(product_bf16, PANEL_BF16)
DEFINE_FLOAT_PRODUCT(product_f32, PANEL_F32)

static void set_float_products(struct cpu_kernels *k)
{
    k->product[PANEL_F16] = product_f16;
    k->product[PANEL_BF16] = product_bf16;
    k->product[PANEL_F32] = product_f32;
}
