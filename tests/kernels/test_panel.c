/* Packing: what a panel holds is what the file said, exactly or within the documented bound; sizes;
 * rows that do not exist; weights no format can hold. */
#include "product_fixture.h"

#include <float.h>

static void formats_and_sizes(void **state)
{
    (void)state;
    assert_int_equal(panel_format_of(QUANT_Q4_K, 512), PANEL_Q4_K);
    assert_int_equal(panel_format_of(QUANT_Q3_K, 256), PANEL_Q6_K);
    assert_int_equal(panel_format_of(QUANT_IQ4_NL, 96), PANEL_IQ4_NL);
    assert_int_equal(panel_format_of(QUANT_IQ4_XS, 256), PANEL_IQ4_NL);
    assert_int_equal(panel_format_of(QUANT_MXFP4, 96), PANEL_MXFP4);
    assert_int_equal(panel_format_of(QUANT_F16, 32), PANEL_F16);
    assert_int_equal(panel_format_of(QUANT_BF16, 96), PANEL_BF16);
    assert_int_equal(panel_format_of(QUANT_F32, 64), PANEL_F32);
    assert_int_equal(panel_format_of(QUANT_Q2_K, 256), PANEL_Q8_0);
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
    assert_int_equal(panel_bytes(PANEL_BF16, 96), 16 * 96 * 2);
    assert_int_equal(panel_bytes(PANEL_F32, 96), 16 * 96 * 4);
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

/* NaN becomes 0 and infinities the largest number; all others are kept, the smallest too. */
static void unusable_floats_are_tamed(void **state)
{
    float w[32] = { NAN, INFINITY, -INFINITY, 1e-45f, -3e38f, 1, -0.0f }, got[32];
    const uint16_t f16[32] = { 0x7e01, 0x7c00, 0xfc00, 0x0001, 0xfbff, 0x3c00, 0xfe00 };
    const uint16_t bf16[32] = { 0x7fc1, 0x7f80, 0xff80, 0x0001, 0xff7f, 0x3f80, 0xffc0 };
    uint8_t panel[16 * 32 * 4] __attribute__((aligned(64)));

    (void)state;
    panel_pack(PANEL_F32, panel, QUANT_F32, w, 1, 32);
    panel_unpack_row(PANEL_F32, panel, 0, 32, got);
    assert_true(got[0] == 0 && got[1] == FLT_MAX && got[2] == -FLT_MAX);
    assert_memory_equal(got + 3, w + 3, sizeof w - 3 * sizeof *w);
    panel_pack(PANEL_F16, panel, QUANT_F16, f16, 1, 32);
    panel_unpack_row(PANEL_F16, panel, 0, 32, got);
    assert_true(got[0] == 0 && got[1] == 65504 && got[2] == -65504);
    assert_true(got[3] == 0x1p-24f && got[4] == -65504 && got[5] == 1 && got[6] == 0);
    panel_pack(PANEL_BF16, panel, QUANT_BF16, bf16, 1, 32);
    panel_unpack_row(PANEL_BF16, panel, 0, 32, got);
    assert_true(got[0] == 0 && got[1] == 0x1.fep127f && got[2] == -0x1.fep127f);
    assert_true(got[3] == 0x1p-133f && got[4] == -0x1.fep127f && got[5] == 1 && got[6] == 0);
}

/* Of Q2_K: magnitudes that no scale can hold saturate, NaN becomes 0. */
static void unusable_scales_are_tamed(void **state)
{
    static const struct {
        uint16_t d;
        float w;
    } cases[] = { { 0x7e00, 0 }, { 0x7c00, 127 * 65504.0f }, { 0xfc00, -127 * 65504.0f } };
    uint8_t block[84], panel[16 * 8 * 34] __attribute__((aligned(64)));
    float got[256];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        memset(block, 0, sizeof block);
        memset(block, 1, 16);           /* scales of 1 and minima of 0 */
        memset(block + 16, 0x55, 64);   /* quanta of 1 */
        put_half(block + 80, cases[i].d);
        panel_pack(PANEL_Q8_0, panel, QUANT_Q2_K, block, 1, 256);
        panel_unpack_row(PANEL_Q8_0, panel, 0, 256, got);
        for (int k = 0; k < 256; k++) assert_true(got[k] == cases[i].w);
    }
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
        cmocka_unit_test(unusable_floats_are_tamed),
        cmocka_unit_test(unusable_scales_are_tamed),
        cmocka_unit_test(the_smallest_exponents_are_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
