/* Traits, row bytes, and blocks whose meaning is worked out by hand. That every type agrees with
 * another implementation on random blocks is checked by tests/test_quant_vs_gguf.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "quant/blocks.h"
#include "quant/quant.h"

enum { ONE = 0x3c00, TWO = 0x4000 }; /* f16 */

static const struct {
    const char *name;
    uint32_t type, block_weights, block_bytes;
} known[] = {
#define X(name, number, n, bytes) { #name, number, n, bytes },
    QUANT_TYPE_LIST(X)
#undef X
};
enum { N_KNOWN = sizeof known / sizeof *known };

static void test_traits_of_known_types(void **state)
{
    (void)state;
    assert_int_equal(N_KNOWN, 16);
    for (int i = 0; i < N_KNOWN; i++) {
        const struct quant_traits *t = quant_traits(known[i].type);
        assert_string_equal(t->name, known[i].name);
        assert_int_equal(t->block_weights, known[i].block_weights);
        assert_int_equal(t->block_bytes, known[i].block_bytes);
    }
}

static void test_traits_of_unknown_types(void **state)
{
    (void)state;
    int n_unknown = 0;
    for (uint64_t type = 0; type <= UINT32_MAX; type += type < 1000 ? 1 : 0xffffff) {
        const struct quant_traits *t = quant_traits((uint32_t)type);
        bool is_known = false;
        for (int i = 0; i < N_KNOWN; i++) is_known |= known[i].type == type;
        assert_non_null(t);
        assert_int_equal(t->name != NULL, is_known);
        assert_true(t->block_weights > 0);  /* a caller may divide before it looks */
        n_unknown += !is_known;
    }
    assert_true(n_unknown > 1000);
    assert_null(quant_traits(UINT32_MAX)->name);
}

static void test_row_bytes(void **state)
{
    (void)state;
    for (int i = 0; i < N_KNOWN; i++)
        for (size_t blocks = 0; blocks < 5; blocks++)
            assert_int_equal(quant_row_bytes(known[i].type, blocks * known[i].block_weights),
                             blocks * known[i].block_bytes);
    assert_int_equal(quant_row_bytes(QUANT_Q4_K, (size_t)1 << 40), ((size_t)1 << 32) * 144);
    assert_int_equal(quant_row_bytes(4, 256), 0);
}

static void test_blocks_of_32_by_hand(void **state)
{
    (void)state;
    float out[32];

    struct q4_0 q4 = { .d = TWO };
    q4.qs[0] = 0xf1;
    quant_dequantise(QUANT_Q4_0, &q4, out, 32);
    assert_true(out[0] == 2 * (1 - 8) && out[16] == 2 * (15 - 8) && out[1] == -16);

    struct q5_1 q5 = { .d = ONE, .m = TWO };
    q5.qs[3] = 0x07;
    q5.qh[0] = 1 << 3;          /* weight 3 */
    q5.qh[2] = 1 << 3;          /* weight 19 */
    quant_dequantise(QUANT_Q5_1, &q5, out, 32);
    assert_true(out[3] == 7 + 16 + 2 && out[19] == 16 + 2 && out[0] == 2);

    struct iq4_nl iq4 = { .d = TWO };
    iq4.qs[15] = 0x80;
    quant_dequantise(QUANT_IQ4_NL, &iq4, out, 32);
    assert_true(out[15] == -254 && out[31] == 2);

    struct mxfp4 mx = { .e = 129 };         /* 4, of halves 2 */
    mx.qs[0] = 0x7f;
    mx.qs[15] = 0x19;
    quant_dequantise(QUANT_MXFP4, &mx, out, 32);
    assert_true(out[0] == -24 && out[16] == 24 && out[15] == -2 && out[31] == 2 && out[1] == 0);
    mx.e = 0;
    quant_dequantise(QUANT_MXFP4, &mx, out, 32);
    assert_true(out[16] == 12 * 0x1p-128f);
}

static void test_blocks_of_256_by_hand(void **state)
{
    (void)state;
    float out[256];

    struct q4_k q4 = { .d = ONE, .dmin = TWO };
    q4.scales[0] = 3 | 2 << 6;  /* scale of sub-block 0; high bits of scale 4 */
    q4.scales[4] = 5 | 1 << 6;  /* minimum 0; high bits of minimum 4 */
    q4.scales[8] = 4 | 7 << 4;  /* low bits of scale and minimum 4 */
    q4.qs[31] = 0x0f;           /* weight 31 */
    q4.qs[64] = 0x02;           /* weight 128 */
    quant_dequantise(QUANT_Q4_K, &q4, out, 256);
    assert_true(out[31] == 3 * 15 - 2 * 5 && out[0] == -2 * 5);
    assert_true(out[128] == (4 + 32) * 2 - 2 * (7 + 16));

    struct q6_k q6 = { .d = ONE };
    q6.scales[9] = -3;          /* weights 144..159 */
    q6.ql[64 + 16] = 0x0a;
    q6.qh[32 + 16] = 0x01;
    quant_dequantise(QUANT_Q6_K, &q6, out, 256);
    assert_true(out[144] == -3 * (10 + 16 - 32) && out[145] == -3 * -32 && out[0] == 0);
}

/* A row is its blocks one after another, whatever is beside them. */
static void test_rows_are_blocks(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 7);
    for (int i = 0; i < N_KNOWN; i++) {
        const size_t n = known[i].block_weights, bytes = known[i].block_bytes;
        uint16_t blocks[3 * 128];
        float row[3 * 256], one[256];
        for (size_t b = 0; b < (3 * bytes + 1) / 2; b++) blocks[b] = (uint16_t)rng_u64(&r);
        quant_dequantise(known[i].type, blocks, row, 3 * n);
        for (size_t b = 0; b < 3; b++) {
            quant_dequantise(known[i].type, (uint8_t *)blocks + b * bytes, one, n);
            assert_memory_equal(one, row + b * n, n * sizeof *one);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_traits_of_known_types),
        cmocka_unit_test(test_traits_of_unknown_types),
        cmocka_unit_test(test_row_bytes),
        cmocka_unit_test(test_blocks_of_32_by_hand),
        cmocka_unit_test(test_blocks_of_256_by_hand),
        cmocka_unit_test(test_rows_are_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
