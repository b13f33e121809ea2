/* Packing: what a panel holds is what the file said, exactly or within the documented bound; sizes;
 * rows that do not exist; weights no format can hold. */
#include "product_fixture.h"

static void formats_and_sizes(void **state)
{
    (void)state;
    assert_int_equal(panel_format_of(QUANT_Q4_K, 512), PANEL_Q4_K);
    assert_int_equal(panel_format_of(QUANT_Q3_K, 256), PANEL_Q6_K);
    assert_int_equal(panel_format_of(QUANT_IQ4_NL, 96), PANEL_IQ4_NL);
    assert_int_equal(panel_format_of(QUANT_IQ4_XS, 256), PANEL_IQ4_NL);
    assert_int_equal(panel_format_of(QUANT_MXFP4, 96), PANEL_MXFP4);
    assert_int_equal(panel_format_of(QUANT_F16, 32), PANEL_Q8_0);
    assert_int_equal(panel_format_of(QUANT_Q5_1, 64), PANEL_Q5_1);

    assert_int_equal(panel_format_of(QUANT_Q4_K, 288), -1);     /* not whole blocks */
    assert_int_equal(panel_format_of(QUANT_IQ4_XS, 32), -1);
    assert_int_equal(panel_format_of(QUANT_F32, 33), -1);
    assert_int_equal(panel_format_of(QUANT_Q8_0, 0), -1);
    assert_int_equal(panel_format_of(9, 256), -1);              /* types nobody reads */
    assert_int_equal(panel_format_of(4711, 256), -1);

    assert_int_equal(sizeof(struct panel_q4_k), 2368);
    assert_int_equal(sizeof(struct panel_q5_k), 2880);
    assert_int_equal(sizeof(struct panel_q6_k), 3456);
    assert_int_equal(panel_bytes(PANEL_Q6_K, 512), 2 * 3456);
    assert_int_equal(panel_bytes(PANEL_Q8_0, 64), 16 * 2 * 34);
    assert_int_equal(panel_bytes(PANEL_Q8_0, 96), 16 * 3 * 34 + 32);    /* a half line of filling */
    assert_int_equal(panel_bytes(PANEL_Q5_1, 96), 16 * 3 * 24);
    assert_int_equal(panel_bytes(PANEL_MXFP4, 64), 16 * 2 * 17 + 32);
    assert_int_equal(panel_bytes(PANEL_MXFP4, 2880), 16 * 90 * 17 + 32);
    for (int format = 0; format < N_PANEL_FORMATS; format++)
        assert_int_equal(panel_bytes((enum panel_format)format, 768) % 64, 0);
}

/* Largest error allowed for the 32 weights at w. */
static float allowed_error(const struct file_type *t, const float *w, uint32_t k)
{
    float max = 0;

    if (t->is_exact) return 0;
    if (t->type == QUANT_IQ4_XS) return fabsf(w[k]) * 0x1p-11f;
    for (uint32_t i = k / 32 * 32; i < k / 32 * 32 + 32; i++) max = fmaxf(max, fabsf(w[i]));
    return max / 254 * (1 + 0x1p-10f) + 0x1p-25f;
}

static void check_row(const struct file_type *t, const uint8_t *row_bytes, const uint8_t *panel,
                      uint32_t row, uint32_t n_k, uint64_t seed)
{
    const enum panel_format format = (enum panel_format)panel_format_of(t->type, n_k);
    float *w = malloc(n_k * sizeof *w), *got = malloc(n_k * sizeof *got);

    assert_non_null(w);
    assert_non_null(got);
    quant_dequantise(t->type, row_bytes, w, n_k);
    panel_unpack_row(format, panel, row, n_k, got);
    for (uint32_t k = 0; k < n_k; k++)
        if (!(fabsf(w[k] - got[k]) <= allowed_error(t, w, k)))
            fail_msg("%s n_k=%u seed=%llu row=%u k=%u: panel holds %.9g, file says %.9g", t->name,
                     n_k, (unsigned long long)seed, row, k, (double)got[k], (double)w[k]);
    free(w);
    free(got);
}

static void unpacking_gives_the_files_weights(void **state)
{
    static const uint32_t lengths[] = { 32, 96, 256, 896, 1536 };
    struct rng r;

    (void)state;
    for (size_t t = 0; t < COUNT(file_types); t++)
        for (size_t i = 0; i < COUNT(lengths); i++)
            for (uint64_t seed = 0; seed < 6; seed++) {
                const uint32_t n_k = lengths[i];
                if (panel_format_of(file_types[t].type, n_k) < 0) continue;
                rng_seed(&r, seed);
                const size_t row_bytes = quant_row_bytes(file_types[t].type, n_k);
                uint8_t *rows = random_rows(&r, &file_types[t], PANEL_ROWS, n_k,
                                            seed % 2 ? FILL_LIMITS : FILL_RANDOM);
                uint8_t *panel = packed(&file_types[t], rows, PANEL_ROWS, n_k);
                for (uint32_t row = 0; row < PANEL_ROWS; row++)
                    check_row(&file_types[t], rows + row * row_bytes, panel, row, n_k, seed);
                free(panel);
                free(rows);
            }
}

/* The same rows give the same bytes whatever the memory held before, and only the panel is
 * written; missing rows read back as zeros. */
static void packing_writes_its_panel_and_nothing_else(void **state)
{
    enum { N_K = 768, GUARD = 64 };
    struct rng r;

    (void)state;
    rng_seed(&r, 7);
    for (size_t t = 0; t < COUNT(file_types); t++)
        for (uint32_t n_rows = 0; n_rows <= PANEL_ROWS; n_rows += 5) {
            const enum panel_format format =
                (enum panel_format)panel_format_of(file_types[t].type, N_K);
            const size_t n_bytes = panel_bytes(format, N_K);
            uint8_t *rows = random_rows(&r, &file_types[t], PANEL_ROWS, N_K, FILL_RANDOM);
            uint8_t *a = aligned_alloc(64, n_bytes + 2 * GUARD);
            uint8_t *b = aligned_alloc(64, n_bytes + 2 * GUARD);
            float w[N_K];
            assert_non_null(a);
            assert_non_null(b);
            memset(a, 0x11, n_bytes + 2 * GUARD);
            memset(b, 0xee, n_bytes + 2 * GUARD);
            panel_pack(format, a + GUARD, file_types[t].type, rows, n_rows, N_K);
            panel_pack(format, b + GUARD, file_types[t].type, rows, n_rows, N_K);
            assert_memory_equal(a + GUARD, b + GUARD, n_bytes);
            for (int i = 0; i < GUARD; i++) {
                assert_int_equal(a[i], 0x11);
                assert_int_equal(b[GUARD + n_bytes + (size_t)i], 0xee);
            }
            for (uint32_t row = n_rows; row < PANEL_ROWS; row++) {
                panel_unpack_row(format, a + GUARD, row, N_K, w);
                for (int k = 0; k < N_K; k++) assert_true(w[k] == 0);
            }
            free(a);
            free(b);
            free(rows);
        }
}

/* Weights that no scale can hold saturate; NaN becomes 0; none spoils its neighbours' blocks. */
static void unusable_weights_are_tamed(void **state)
{
    const float max = 127.0f * 65504.0f;
    float w[96] = { 0 }, got[96];
    uint8_t panel[16 * 3 * 34 + 32] __attribute__((aligned(64)));

    (void)state;
    w[0] = NAN;
    w[1] = 1;
    w[32] = INFINITY;
    w[33] = -1e30f;
    w[34] = -max;
    w[64] = 1e-30f;
    w[65] = 2;
    panel_pack(PANEL_Q8_0, panel, QUANT_F32, w, 1, 96);
    panel_unpack_row(PANEL_Q8_0, panel, 0, 96, got);
    assert_true(got[0] == 0 && fabsf(got[1] - 1) < 1e-3f);
    assert_true(got[32] == max && got[33] == -max && got[34] == -max);
    assert_true(got[64] == 0 && fabsf(got[65] - 2) < 2e-3f);
}

/* Scales below the smallest normal float are 0, all others are kept. */
static void the_smallest_exponents_are_zero(void **state)
{
    uint8_t block[17] = { 0, 0x7f }, panel[17 * 16 + 48 + 4 * 64] __attribute__((aligned(64)));
    float w[32], got[32];

    (void)state;
    for (int e = 0; e < 256; e++) {
        block[0] = (uint8_t)e;
        quant_dequantise(QUANT_MXFP4, block, w, 32);
        panel_pack(PANEL_MXFP4, panel, QUANT_MXFP4, block, 1, 32);
        panel_unpack_row(PANEL_MXFP4, panel, 0, 32, got);
        assert_true(got[0] == (e < 2 ? 0 : w[0]) && got[16] == (e < 2 ? 0 : w[16]));
        assert_true(e == 255 ? isinf(w[16]) : w[16] == ldexpf(12, e - 128));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_and_sizes),
        cmocka_unit_test(unpacking_gives_the_files_weights),
        cmocka_unit_test(packing_writes_its_panel_and_nothing_else),
        cmocka_unit_test(unusable_weights_are_tamed),
        cmocka_unit_test(the_smallest_exponents_are_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
