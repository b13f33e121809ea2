/* Products of many columns at once, where a table has them: for every number of columns and of
 * panels the bytes that the plain C gives for each column alone, written or added, and nothing else
 * touched. The tile instructions are tested where there are some; what surrounds them everywhere
 * that AVX-512 is, with plain C in their place. */
#include "product_fixture.h"

#include "base/cpu_isa.h"
#include "estimate/columns.h"

enum { MAX_PANELS = 9, N_COLS = 134, LD = N_COLS + 2, LD_OUT = MAX_PANELS * PANEL_ROWS + 5 };

#if defined(__x86_64__)
/* As cpu_product_kquant_amx and so on, with AMX_EMULATED (tests/CMakeLists.txt). */
void emulated_product_kquant_amx(struct cpu_kernels *k);

static bool add_emulated(struct cpu_kernels *k)
{
    if (!cpu_isa_read().avx512vnni) return false;
    cpu_kernels_get(k, "avx512vnni");
    k->isa = "emulated amx";
    emulated_product_kquant_amx(k);
    return true;
}
#else
static bool add_emulated(struct cpu_kernels *k)
{
    (void)k;
    return false;
}
#endif

/* The same of SME, with SME_EMULATED and sme_plain.h, on every processor. */
void emulated_product_kquant_sme(struct cpu_kernels *k);
void emulated_product_32_sme(struct cpu_kernels *k);

struct wide_case {
    const struct file_type *type;
    enum panel_format format;
    uint32_t n_k;
    uint8_t *panels;            /* (MAX_PANELS) */
    void *act;                  /* (blocks, LD) */
    float *want;                /* (N_COLS, MAX_PANELS, PANEL_ROWS) */
};

static void *room(size_t n_bytes)
{
    void *p = aligned_alloc(64, (n_bytes + 63) / 64 * 64);
    assert_non_null(p);
    return p;
}

static void random_columns(const struct wide_case *w, struct rng *r, enum fill fill)
{
    const struct cpu_kernels scalar = scalar_kernels();
    float *x = room(w->n_k * sizeof *x);
    for (uint32_t c = 0; c < LD; c++) {
        for (uint32_t k = 0; k < w->n_k; k++)
            x[k] = fill != FILL_LIMITS ? random_normal(r) : c % 3 == 1 || k % 2 ? 3e4f : -3e4f;
        quantise_column(&scalar, panel_act(w->format), x, w->n_k, w->act, c, LD);
    }
    free(x);
}

static struct wide_case make_case(const struct file_type *type, uint32_t n_k, enum fill fill,
                                  uint64_t seed)
{
    const struct cpu_kernels scalar = scalar_kernels();
    struct wide_case w = { .type = type, .n_k = n_k };
    struct rng r;
    rng_seed(&r, seed);
    w.format = (enum panel_format)panel_format_of(type->type, n_k);
    const enum act_format form = panel_act(w.format);
    const size_t bytes = panel_bytes(w.format, n_k);
    w.panels = room(MAX_PANELS * bytes);
    w.act = room(n_k / act_block_values(form) * LD * act_block_bytes(form));
    w.want = room((size_t)N_COLS * MAX_PANELS * PANEL_ROWS * sizeof *w.want);
    random_columns(&w, &r, fill);
    for (uint32_t p = 0; p < MAX_PANELS; p++) {
        uint8_t *rows = random_rows(&r, type, PANEL_ROWS, n_k, fill);
        panel_pack(w.format, w.panels + p * bytes, type->type, rows, PANEL_ROWS, n_k);
        free(rows);
        for (uint32_t c = 0; c < N_COLS; c++)
            scalar.product[w.format](w.panels + p * bytes, n_k,
                                     (const uint8_t *)w.act + c * act_block_bytes(form), LD,
                                     w.want + (c * MAX_PANELS + p) * PANEL_ROWS, PANEL_ROWS, 1, 0);
    }
    return w;
}

static void free_case(struct wide_case *w)
{
    free(w->panels);
    free(w->act);
    free(w->want);
}

/* n_cols columns from `first` on, n_panels panels from the last but n_panels on. */
static void check(const struct cpu_kernels *k, const struct wide_case *w, uint32_t first,
                  uint32_t n_cols, uint32_t n_panels, bool adds)
{
    const uint32_t from_panel = MAX_PANELS - n_panels;
    const size_t n_out = (size_t)LD_OUT * N_COLS + 64;
    float *out = room(n_out * sizeof *out);
    for (size_t i = 0; i < n_out; i++) out[i] = (float)(i % 1001) - 500.25f;
    k->wide[w->format].run(&(struct wide_product){
        .panel = w->panels + from_panel * panel_bytes(w->format, w->n_k), .n_panels = n_panels,
        .n_k = w->n_k, .ld = LD, .n_cols = n_cols, .out = out + 32, .ld_out = LD_OUT, .adds = adds,
        .x = (const uint8_t *)w->act + first * act_block_bytes(panel_act(w->format)),
    });
    for (size_t i = 0; i < n_out; i++) {
        const size_t at = i - 32, c = at / LD_OUT, row = at % LD_OUT;
        float expected = (float)(i % 1001) - 500.25f;
        const bool is_output = i >= 32 && c < n_cols && row < n_panels * PANEL_ROWS;
        if (is_output) {
            const float sum =
                w->want[(first + c) * MAX_PANELS * PANEL_ROWS + from_panel * PANEL_ROWS + row];
            expected = adds ? expected + sum : sum;
        }
        if (memcmp(&out[i], &expected, sizeof expected))
            fail_msg("%s %s n_k=%u columns=%u panels=%u adds=%d column=%zu row=%zu%s: %a, wanted "
                     "%a", k->isa, w->type->name, w->n_k, n_cols, n_panels, adds, c, row,
                     is_output ? "" : " (outside)", (double)out[i], (double)expected);
    }
    free(out);
}

/* Every number of columns with two panels, every number of panels with some columns. */
static void check_counts(const struct cpu_kernels *k, const struct wide_case *w, uint32_t step)
{
    for (uint32_t n = 1; n <= N_COLS; n += n < 66 ? step : 17)
        check(k, w, N_COLS - n, n, 1 + n % 2, n % 3 == 0);
    for (uint32_t n_panels = 1; n_panels <= MAX_PANELS; n_panels += step)
        for (uint32_t n = 5; n <= 45; n += 20) check(k, w, 0, n, n_panels, n_panels % 2);
}

static int check_table(const struct cpu_kernels *k, uint32_t step)
{
    static const uint32_t lengths[] = { 32, 96, 256, 544, 768 };
    int n_cases = 0;
    for (size_t t = 0; t < COUNT(file_types); t++)
        for (size_t i = 0; i < COUNT(lengths); i++) {
            const int format = panel_format_of(file_types[t].type, lengths[i]);
            if (format < 0 || !k->wide[format].run) continue;
            const enum fill fill = (enum fill)((t + i) % N_FILLS);
            struct wide_case w = make_case(&file_types[t], lengths[i], fill, t * 100 + i);
            check_counts(k, &w, step);
            free_case(&w);
            n_cases++;
        }
    return n_cases;
}

static void many_columns_have_the_bytes_of_one(void **state)
{
    const char *names[8];
    const uint32_t n = cpu_kernels_list(names, COUNT(names));
    (void)state;
    for (uint32_t i = 0; i < n; i++) {
        const struct cpu_kernels k = kernels_of(names[i]);
        const int n_cases = check_table(&k, 1);
        if (!strcmp(names[i], "amx")) assert_true(n_cases >= 6);
        if (!strcmp(names[i], "sme")) assert_true(n_cases >= 30);
    }
}

static void emulated_tiles_give_them_too(void **state)
{
    struct cpu_kernels k;
    (void)state;
    if (!add_emulated(&k)) skip();
    assert_true(check_table(&k, 5) >= 6);
}

static void outer_products_in_plain_c_give_them_too(void **state)
{
    struct cpu_kernels k = scalar_kernels();
    (void)state;
    k.isa = "emulated sme";
    emulated_product_kquant_sme(&k);
    emulated_product_32_sme(&k);
    for (int f = 0; f < N_PANEL_FORMATS; f++)   /* floats have no outer products of bytes */
        assert_int_equal(k.wide[f].run != NULL, panel_act(f) != ACT_F32);
    assert_true(check_table(&k, 1) >= 30);
}

/* A set that is masked is not used: what lies below "amx" and "sme" has none. */
static void sets_below_have_none(void **state)
{
    const char *names[8];
    const uint32_t n = cpu_kernels_list(names, COUNT(names));
    (void)state;
    for (uint32_t i = 0; i < n; i++) {
        const struct cpu_kernels k = kernels_of(names[i]);
        for (int f = 0; f < N_PANEL_FORMATS; f++)
            if (strcmp(names[i], "amx") && strcmp(names[i], "sme")) assert_null(k.wide[f].run);
    }
}

/* The plan's estimate says from how many columns on they are used, and of which formats. */
static void the_estimate_knows_where_they_begin(void **state)
{
    struct cpu_kernels k;
    (void)state;
    if (!add_emulated(&k)) skip();
    for (int f = PANEL_Q4_K; f <= PANEL_Q6_K; f++)
        assert_int_equal(k.wide[f].from_cols, CPU_MATRIX_FROM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_columns_have_the_bytes_of_one),
        cmocka_unit_test(emulated_tiles_give_them_too),
        cmocka_unit_test(outer_products_in_plain_c_give_them_too),
        cmocka_unit_test(sets_below_have_none),
        cmocka_unit_test(the_estimate_knows_where_they_begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
