/* What products execute for so many columns: the rules of the backends, counted by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "estimate/columns.h"
#include "quant/quant.h"

static void assert_near(double found, double wanted, double by)
{
    if (fabs(found - wanted) > by) fail_msg("%.9g is not within %g of %.9g", found, by, wanted);
}

/* docs/metal.md: whole blocks of 64, then the rest in eights, or up to four as they are. */
static void test_columns_in_eights(void **state)
{
    static const uint32_t rows[][2] = { { 1, 1 }, { 4, 4 }, { 5, 8 }, { 8, 8 }, { 17, 24 },
                                        { 20, 24 },
                                        { 24, 24 }, { 30, 32 }, { 33, 40 }, { 64, 64 }, { 65, 65 },
                                        { 69, 72 }, { 100, 104 } };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(columns_computed(ESTIMATE_METAL, rows[i][0]), rows[i][1]);
    assert_int_equal(columns_computed(ESTIMATE_METAL_TENSORS, 20), 32);
    assert_int_equal(columns_computed(ESTIMATE_METAL_TENSORS, 33), 64);
    assert_int_equal(columns_computed(ESTIMATE_CPU, 20), 20);
    assert_int_equal(columns_computed(ESTIMATE_CUDA, 20), 20);
}

/* 24 columns of Q4_K: three fragments; four row tiles of 19 instructions, 44 of words and scales, 3
 * loads of columns at 2, 8 of the loop: 134 a lane and 1,024 weights of 32 lanes. */
static void test_costs_of_metal(void **state)
{
    (void)state;
    const struct column_cost many = column_cost(ESTIMATE_METAL, QUANT_Q4_K, 20);
    assert_near(many.macs, 24, 0);
    assert_near(many.lanes, (4 * 19 + 44 + 3 * 2 + 8) / 32.0, 1e-12);
    const struct column_cost few = column_cost(ESTIMATE_METAL, QUANT_Q6_K, 3);
    assert_near(few.macs, 0, 0);
    assert_near(few.lanes, (4 * 30 + 58 + 8 + 8 + 3 * 32 + 2 * 9) / 32.0, 1e-12);
    const struct column_cost two = column_cost(ESTIMATE_METAL, QUANT_Q8_0, 66);
    assert_near(two.macs, 64, 0);       /* 2 of them without the matrix unit */
    assert_near(two.lanes, (4 * 18 + 16 + 8 + 8 * 2 + 4 * 18 + 16 + 8 + 8 + 2 * 32 + 9) / 32.0,
                1e-12);
    assert_near(column_cost(ESTIMATE_METAL_TENSORS, QUANT_F16, 20).macs, 32, 0);
    assert_near(column_cost(ESTIMATE_METAL, QUANT_Q4_K, 0).lanes, 0, 0);
}

static void test_costs_of_others(void **state)
{
    (void)state;
    assert_near(column_cost(ESTIMATE_CPU, QUANT_Q4_K, 20).macs, 21.4, 1e-12);
    assert_near(column_cost(ESTIMATE_CPU, QUANT_Q4_1, 20).macs, 25, 1e-12);
    assert_near(column_cost(ESTIMATE_CPU_MATRIX, QUANT_Q4_K, 20).macs, 27, 1e-12);
    assert_near(column_cost(ESTIMATE_CPU_MATRIX, QUANT_Q6_K, 9).macs, 2.1 * 10.4, 1e-12);
    assert_near(column_cost(ESTIMATE_CPU_MATRIX, QUANT_Q4_1, 20).macs, 2.1 * 25, 1e-12);
    assert_near(column_cost(ESTIMATE_CPU, QUANT_BF16, 20).macs, 71, 1e-12);
    assert_near(column_cost(ESTIMATE_CPU_MATRIX, QUANT_BF16, 20).macs, 2.1 * 71, 1e-12);
    assert_near(column_cost(ESTIMATE_CUDA, QUANT_Q4_K, 20).macs, 20, 0);
    assert_near(column_cost(ESTIMATE_CUDA, QUANT_Q4_K, 20).lanes, 0, 0);
}

/* The mean over experts against a sum over all ways in which two columns choose one of four. */
static void test_experts(void **state)
{
    (void)state;
    const struct column_cost one = column_cost(ESTIMATE_CPU, QUANT_Q4_K, 1);
    const struct column_cost two = column_cost(ESTIMATE_CPU, QUANT_Q4_K, 2);
    assert_near(expert_cost(ESTIMATE_CPU, QUANT_Q4_K, 4, 1, 2).macs,
                6 / 16.0 * one.macs + 1 / 16.0 * two.macs, 1e-12);
    /* columns as they are: each column's share, whoever else chose the expert */
    assert_near(expert_cost(ESTIMATE_CUDA, QUANT_Q4_K, 128, 8, 20).macs, 20 * 8 / 128.0, 1e-9);
    assert_near(expert_cost(ESTIMATE_CUDA, QUANT_Q4_K, 8, 8, 20).macs, 20, 1e-9);
    /* 1.25 columns of each expert in the mean: nearly all without the matrix unit, each unpacked */
    const struct column_cost metal = expert_cost(ESTIMATE_METAL, QUANT_Q4_K, 128, 8, 20);
    assert_true(metal.macs > 0 && metal.macs < 0.1);
    assert_true(metal.lanes > column_cost(ESTIMATE_METAL, QUANT_Q4_K, 1).lanes * 0.72);
    /* the tensor operations' backend runs experts as metal does */
    assert_near(expert_cost(ESTIMATE_METAL_TENSORS, QUANT_Q4_K, 128, 8, 20).lanes, metal.lanes,
                1e-12);
    /* from 32 columns an expert on, blocks of 32 */
    assert_near(expert_cost(ESTIMATE_METAL, QUANT_Q4_K, 2, 2, 40).macs, 64, 1e-9);
    assert_near(expert_cost(ESTIMATE_METAL, QUANT_Q4_K, 2, 2, 30).macs, 32, 1e-9);
    assert_near(expert_cost(ESTIMATE_METAL, QUANT_Q4_K, 2, 2, 20).macs, 16, 1e-9);    /* and 4 as
                                                                                       * few */
}

/* docs/metal.md, of 128 positions on an M4 Pro: 152 ns of f16 for 4 and 8 rows, 238 for 16. */
static void test_attention_of_metal(void **state)
{
    (void)state;
    for (uint32_t rows = 4; rows <= 16; rows *= 2) {
        const struct attend_shape shape = { rows, 128, KV_F16, KV_F16 };
        const struct column_cost c = attend_cost(&shape);
        const double ns = 128 * (c.macs / 3.15e12 + c.lanes / (20 * 128 * 1.58e9)) * 1e9;
        assert_near(ns, rows == 16 ? 238 : 152, 0.5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns_in_eights), cmocka_unit_test(test_costs_of_metal),
        cmocka_unit_test(test_costs_of_others),   cmocka_unit_test(test_experts),
        cmocka_unit_test(test_attention_of_metal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
