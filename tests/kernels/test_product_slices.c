/* Products of panels of floats by slices of k: every column gets the sum of its slices in order,
 * however many columns there are beside it and in whatever tiles they are taken. */
#include "product_fixture.h"

#include "backend/cpu/product.h"
#include "backend/cpu/product_slices.h"

enum { N_ROWS = 45, N_PANELS = 3, N_COLS = 130, LD_OUT = N_PANELS * PANEL_ROWS };

struct slice_case {
    struct cpu_backend *b;
    struct matrix m;
    struct act act;
    float *want, *out;          /* (N_COLS, LD_OUT) */
};

/* Slice by slice, a column at a time, by the plain C. */
static void compute_alone(struct slice_case *c)
{
    const struct cpu_kernels scalar = scalar_kernels();
    for (uint32_t col = 0; col < N_COLS; col++)
        for (uint32_t p = 0; p < N_PANELS; p++)
            for (uint32_t k = 0; k < c->m.n_k; k += PANEL_SLICE) {
                const uint32_t n_k = c->m.n_k - k < PANEL_SLICE ? c->m.n_k - k : PANEL_SLICE;
                float part[PANEL_ROWS], *to = c->want + col * LD_OUT + p * PANEL_ROWS;
                scalar.product[c->m.format](
                    c->m.panel + p * c->m.panel_bytes + panel_bytes(c->m.format, k), n_k,
                    c->act.f32 + (size_t)k / 32 * N_COLS + col, N_COLS, part, PANEL_ROWS, 1, 0);
                for (int row = 0; row < PANEL_ROWS; row++)
                    to[row] = k ? to[row] + part[row] : part[row];
            }
}

static struct slice_case make(const char *isa, uint32_t type, uint32_t n_k)
{
    const struct file_type t = { "floats", type, 32, (uint32_t)quant_row_bytes(type, 32),
                                 { -1, -1 }, true };
    struct slice_case c = { .b = calloc(1, sizeof *c.b) };
    struct rng r;
    rng_seed(&r, n_k + type);
    c.b->k = kernels_of(isa);
    c.m = (struct matrix){ .format = (enum panel_format)panel_format_of(type, n_k),
                           .n_rows = N_ROWS, .n_k = n_k, .n_panels = N_PANELS };
    c.m.panel_bytes = panel_bytes(c.m.format, n_k);
    c.m.panel = aligned_alloc(64, N_PANELS * c.m.panel_bytes);
    uint8_t *rows = random_rows(&r, &t, N_ROWS, n_k, FILL_RANDOM);
    for (uint32_t p = 0; p < N_PANELS; p++) {
        const uint32_t left = N_ROWS - p * PANEL_ROWS;
        panel_pack(c.m.format, c.m.panel + p * c.m.panel_bytes, type,
                   rows + p * PANEL_ROWS * quant_row_bytes(type, n_k),
                   left < PANEL_ROWS ? left : PANEL_ROWS, n_k);
    }
    free(rows);
    c.act.f32 = aligned_alloc(64, (size_t)n_k / 32 * N_COLS * sizeof *c.act.f32);
    float *x = malloc(n_k * sizeof *x);
    for (uint32_t col = 0; col < N_COLS; col++) {
        for (uint32_t k = 0; k < n_k; k++) x[k] = random_normal(&r);
        act_quantise(c.b, &c.act, ACT_FORM_F32, col, N_COLS, x, 0, n_k);
    }
    free(x);
    c.want = calloc(N_COLS * LD_OUT, sizeof *c.want);
    c.out = calloc(N_COLS * LD_OUT, sizeof *c.out);
    compute_alone(&c);
    return c;
}

static void release(struct slice_case *c)
{
    free(c->b), free(c->m.panel), free(c->act.f32), free(c->want), free(c->out);
}

static void for_each_slice_case(void (*check)(struct slice_case *c))
{
    static const uint32_t types[] = { QUANT_F16, QUANT_BF16, QUANT_F32 };
    static const uint32_t lengths[] = { 96, 1024, 2592 };
    const char *isa[8];
    const uint32_t n_isa = cpu_kernels_list(isa, COUNT(isa));
    for (uint32_t i = 0; i < n_isa; i++)
        for (size_t t = 0; t < COUNT(types); t++)
            for (size_t l = 0; l < COUNT(lengths); l++) {
                struct slice_case c = make(isa[i], types[t], lengths[l]);
                check(&c);
                release(&c);
            }
}

/* Few columns take whole panels one by one, many of them tiles of columns. */
static void check_columns_alone(struct slice_case *c)
{
    static const struct range cols[] = { { 0, 1 }, { 5, 6 }, { 3, 28 }, { 0, N_COLS }, { 1, 120 } };
    for (size_t i = 0; i < COUNT(cols); i++)
        for (uint32_t first = 0; first < N_PANELS; first += 2) {
            const struct range panels = { first, N_PANELS };
            memset(c->out, 0x55, N_COLS * LD_OUT * sizeof *c->out);
            product_columns(c->b, &c->m, &c->act, cols[i], N_COLS, panels,
                            c->out + first * PANEL_ROWS, LD_OUT);
            for (uint32_t col = cols[i].first; col < cols[i].last; col++)
                assert_memory_equal(c->out + col * LD_OUT + first * PANEL_ROWS,
                                    c->want + col * LD_OUT + first * PANEL_ROWS,
                                    (N_PANELS - first) * PANEL_ROWS * sizeof *c->out);
            if (cols[i].last < N_COLS)
                assert_int_equal(((uint8_t *)(c->out + cols[i].last * LD_OUT))[0], 0x55);
        }
}

static void columns_do_not_depend_on_each_other(void **state)
{
    (void)state;
    for_each_slice_case(check_columns_alone);
}

/* Added to what is there, a column gets the same alone and among all. */
static void check_added(struct slice_case *c)
{
    float *alone = calloc(N_COLS * LD_OUT, sizeof *alone);
    for (uint32_t i = 0; i < N_COLS * LD_OUT; i++) alone[i] = c->out[i] = (float)i / 64;
    product_panels_add(c->b, &c->m, &c->act, N_COLS, (struct range){ 0, N_PANELS }, c->out, LD_OUT);
    for (uint32_t col = 0; col < N_COLS; col++)
        product_slices(c->b, &c->m, c->act.f32, (struct range){ col, col + 1 }, N_COLS,
                       (struct range){ 0, N_PANELS }, alone, LD_OUT, true);
    assert_memory_equal(alone, c->out, N_COLS * LD_OUT * sizeof *alone);
    for (uint32_t i = 0; i < N_COLS * LD_OUT; i++)
        assert_true(fabsf(c->out[i] - (float)i / 64 - c->want[i]) < 1e-3f);
    free(alone);
}

static void sums_are_added_alike(void **state)
{
    (void)state;
    for_each_slice_case(check_added);
}

/* Numbers that products cannot use count as 0, and all others stay as they are. */
static void activations_are_kept(void **state)
{
    const float x[32] = { NAN, INFINITY, -INFINITY, 0x1.8p100f, -0x1p100f, 1e-42f, 0.1f };
    struct act_f32 to[1];
    struct act act = { .f32 = to };
    (void)state;
    memset(to, 0x55, sizeof to);
    act_quantise(NULL, &act, ACT_FORM_F32, 0, 1, x, 0, 32);
    for (int i = 0; i < 4; i++) assert_true(to->v[i] == 0);
    assert_memory_equal(to->v + 4, x + 4, 28 * sizeof *x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_do_not_depend_on_each_other),
        cmocka_unit_test(sums_are_added_alike),
        cmocka_unit_test(activations_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
