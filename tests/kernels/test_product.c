/* Panel products: the plain C against exact arithmetic on the file's blocks, and every instruction
 * set this machine has against the plain C, bit for bit, for every column count. */
#include "product_fixture.h"

enum { LD = MAX_PRODUCT_COLS + 3, GUARD = 64 };

/* Rows and columns of one product, and where they came from. */
struct product_case {
    const struct file_type *type;
    enum panel_format format;
    enum act_format act_format;
    uint32_t n_k;
    uint8_t *rows, *panel;
    void *act;                  /* (blocks, LD) */
    uint64_t seed;
};

static struct product_case make_case(const struct file_type *type, uint32_t n_k, enum fill fill,
                                     uint64_t seed)
{
    const struct cpu_kernels scalar = scalar_kernels();
    struct product_case p = { .type = type, .n_k = n_k, .seed = seed };
    struct rng r;

    rng_seed(&r, seed);
    p.format = (enum panel_format)panel_format_of(type->type, n_k);
    p.act_format = panel_act(p.format);
    p.rows = random_rows(&r, type, PANEL_ROWS, n_k, fill);
    p.panel = packed(type, p.rows, PANEL_ROWS, n_k);
    p.act = malloc(n_k / act_block_values(p.act_format) * LD * act_block_bytes(p.act_format));
    assert_non_null(p.act);

    float *x = malloc(n_k * sizeof *x);
    assert_non_null(x);
    for (uint32_t c = 0; c < LD; c++) {
        for (uint32_t k = 0; k < n_k; k++) {
            x[k] = random_normal(&r);
            if (fill == FILL_LIMITS) x[k] = c == 0 ? 1 : c == 1 ? -1 : k % 2 ? 3e4f : -3e4f;
            if (c == 2 && fill == FILL_LIMITS) x[k] = 0;
        }
        quantise_column(&scalar, p.act_format, x, n_k, p.act, c, LD);
    }
    free(x);
    return p;
}

static void free_case(struct product_case *p)
{
    free(p->rows);
    free(p->panel);
    free(p->act);
}

/* The columns from `first` on. */
static const void *columns(const struct product_case *p, uint32_t first)
{
    return (const uint8_t *)p->act + first * act_block_bytes(p->act_format);
}

typedef void check_fn(const struct product_case *p, const struct cpu_kernels *k);

/* Checks a table's products on each type and each length its rows can have; returns how many. */
static int for_each_case(check_fn *check, const struct cpu_kernels *k)
{
    static const uint32_t lengths[] = { 32, 64, 96, 256, 512, 576, 896, 1536 };
    uint64_t seed = 1;

    for (size_t t = 0; t < COUNT(file_types); t++)
        for (size_t i = 0; i < COUNT(lengths); i++)
            for (int fill = 0; fill < N_FILLS; fill++) {
                if (panel_format_of(file_types[t].type, lengths[i]) < 0) continue;
                struct product_case p =
                    make_case(&file_types[t], lengths[i], (enum fill)fill, seed++);
                check(&p, k);
                free_case(&p);
            }
    return (int)seed - 1;
}

static void for_each_isa(check_fn *check)
{
    const char *names[8];
    const uint32_t n = cpu_kernels_list(names, COUNT(names));

    assert_true(n >= 1 && n <= COUNT(names));
    for (uint32_t i = 0; i < n; i++) {
        const struct cpu_kernels k = kernels_of(names[i]);
        for_each_case(check, &k);
    }
}

/* ---- the plain C is right ------------------------------------------------------------------- */

/* Within 1e-6 of the sum of magnitudes of what the panel holds. For exact types that is the file's
 * own weights; test_panel.c bounds what the others lose. */
static void check_against_doubles(const struct product_case *p, const struct cpu_kernels *scalar)
{
    float out[PANEL_ROWS], *w = malloc(p->n_k * sizeof *w);

    assert_non_null(w);
    scalar->product[p->format](p->panel, p->n_k, columns(p, 3), LD, out, PANEL_ROWS, 1, 0);
    for (uint32_t row = 0; row < PANEL_ROWS; row++) {
        const size_t row_bytes = quant_row_bytes(p->type->type, p->n_k);
        double sum = 0, magnitude = 0;
        if (p->type->is_exact)
            quant_dequantise(p->type->type, p->rows + row * row_bytes, w, p->n_k);
        else
            panel_unpack_row(p->format, p->panel, row, p->n_k, w);
        for (uint32_t k = 0; k < p->n_k; k++) {
            const double term = (double)w[k] * act_value(p->act_format, p->act, k, 3, LD);
            sum += term;
            magnitude += fabs(term);
        }
        if (!(fabs(out[row] - sum) <= 1e-6 * magnitude))
            fail_msg("%s n_k=%u seed=%llu row=%u: %.9g, exact %.9g, magnitude %.9g", p->type->name,
                     p->n_k, (unsigned long long)p->seed, row, (double)out[row], sum, magnitude);
    }
    free(w);
}

static void scalar_agrees_with_exact_arithmetic(void **state)
{
    const struct cpu_kernels scalar = scalar_kernels();

    (void)state;
    assert_true(for_each_case(check_against_doubles, &scalar) > 150);
}

/* ---- every instruction set agrees ----------------------------------------------------------- */

/* n_cols columns from `first` on, by each instruction set, must be the bytes that the plain C gives
 * for each column alone; nothing else may be written. */
static void check_columns(const struct cpu_kernels *k, const struct product_case *p,
                          const float *want, uint32_t first, uint32_t n_cols, size_t ahead_bytes)
{
    const size_t ld_out = PANEL_ROWS + 5;               /* odd: stores need no alignment */
    float out[GUARD + MAX_PRODUCT_COLS * (PANEL_ROWS + 5) + GUARD];
    const float guard = -12345.678f;

    for (size_t i = 0; i < COUNT(out); i++) out[i] = guard;
    k->product[p->format](p->panel, p->n_k, columns(p, first), LD, out + GUARD, ld_out, n_cols,
                          ahead_bytes);
    for (size_t i = 0; i < COUNT(out); i++) {
        const size_t at = i - GUARD, c = at / ld_out, row = at % ld_out;
        const bool is_output = i >= GUARD && c < n_cols && row < PANEL_ROWS;
        const float expected = is_output ? want[(first + c) * PANEL_ROWS + row] : guard;
        if (memcmp(&out[i], &expected, sizeof expected))
            fail_msg("isa=%s %s n_k=%u seed=%llu n_cols=%u column=%zu row=%zu%s: %a, wanted %a",
                     k->isa, p->type->name, p->n_k, (unsigned long long)p->seed, n_cols, c, row,
                     is_output ? "" : " (outside)", (double)out[i], (double)expected);
    }
}

static void check_variant(const struct product_case *p, const struct cpu_kernels *k)
{
    const struct cpu_kernels scalar = scalar_kernels();
    float want[LD * PANEL_ROWS];

    for (uint32_t c = 0; c < LD; c++)
        scalar.product[p->format](p->panel, p->n_k, columns(p, c), LD, want + c * PANEL_ROWS,
                                  PANEL_ROWS, 1, 0);
    for (uint32_t n_cols = 1; n_cols <= MAX_PRODUCT_COLS; n_cols++) {
        check_columns(k, p, want, 0, n_cols, panel_bytes(p->format, p->n_k));
        check_columns(k, p, want, LD - n_cols, n_cols, 0);
    }
}

static void each_isa_gives_the_scalar_bytes_for_every_column_count(void **state)
{
    (void)state;
    for_each_isa(check_variant);
}

/* A column's result does not depend on what its neighbours hold. */
static void check_neighbours(const struct product_case *p, const struct cpu_kernels *k)
{
    const size_t block = act_block_bytes(p->act_format);
    const size_t n_blocks = p->n_k / act_block_values(p->act_format);
    float before[MAX_PRODUCT_COLS * PANEL_ROWS], after[MAX_PRODUCT_COLS * PANEL_ROWS];
    const uint32_t kept = p->seed % MAX_PRODUCT_COLS;

    k->product[p->format](p->panel, p->n_k, p->act, LD, before, PANEL_ROWS, MAX_PRODUCT_COLS, 0);
    for (size_t b = 0; b < n_blocks; b++)
        for (uint32_t c = 0; c < LD; c++)
            if (c != kept) memset((uint8_t *)p->act + (b * LD + c) * block, 0x3f, block);
    k->product[p->format](p->panel, p->n_k, p->act, LD, after, PANEL_ROWS, MAX_PRODUCT_COLS, 0);
    assert_memory_equal(before + kept * PANEL_ROWS, after + kept * PANEL_ROWS,
                        PANEL_ROWS * sizeof(float));
}

static void neighbours_do_not_matter(void **state)
{
    (void)state;
    for_each_isa(check_neighbours);
}

/* Rows filled up to 16 give exactly 0, whatever the columns hold. */
static void check_missing_rows(const struct product_case *p, const struct cpu_kernels *k)
{
    const uint32_t n_rows = p->seed % PANEL_ROWS;
    float out[MAX_PRODUCT_COLS * PANEL_ROWS];

    panel_pack(p->format, p->panel, p->type->type, p->rows, n_rows, p->n_k);
    k->product[p->format](p->panel, p->n_k, p->act, LD, out, PANEL_ROWS, MAX_PRODUCT_COLS, 0);
    for (uint32_t c = 0; c < MAX_PRODUCT_COLS; c++)
        for (uint32_t row = n_rows; row < PANEL_ROWS; row++)
            if (out[c * PANEL_ROWS + row] != 0)
                fail_msg("isa=%s %s n_k=%u row %u of %u rows gives %g", k->isa, p->type->name,
                         p->n_k, row, n_rows, (double)out[c * PANEL_ROWS + row]);
}

static void missing_rows_give_zero(void **state)
{
    (void)state;
    for_each_isa(check_missing_rows);
}

/* Bytes do not tell whose products they are: a set that was left out would only be slower. */
static void each_isa_has_products_of_its_own(void **state)
{
    (void)state;
    const char *names[8];
    const uint32_t n = cpu_kernels_list(names, COUNT(names));
    for (uint32_t i = 1; i < n; i++) {
        const struct cpu_kernels lower = kernels_of(names[i - 1]), k = kernels_of(names[i]);
        for (int f = 0; f < N_PANEL_FORMATS; f++)
            assert_true(k.product[f] != lower.product[f] || k.rate_matrix);
        for (int f = PANEL_Q4_K; f <= PANEL_Q6_K; f++)      /* a matrix unit has them for many */
            assert_true(!k.rate_matrix || k.wide[f].run != lower.wide[f].run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalar_agrees_with_exact_arithmetic),
        cmocka_unit_test(each_isa_gives_the_scalar_bytes_for_every_column_count),
        cmocka_unit_test(each_isa_has_products_of_its_own),
        cmocka_unit_test(neighbours_do_not_matter),
        cmocka_unit_test(missing_rows_give_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
