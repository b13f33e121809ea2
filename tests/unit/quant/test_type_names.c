/* Names of tensor types, those that are not read among them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "quant/quant.h"

static void every_type_has_its_name(void **state)
{
    (void)state;
    static const char *const of_ggml[] = {
        "F32", "F16", "Q4_0", "Q4_1", "Q4_2", "Q4_3", "Q5_0", "Q5_1", "Q8_0", "Q8_1", "Q2_K",
        "Q3_K",
        "Q4_K", "Q5_K", "Q6_K", "Q8_K", "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S",
        "IQ2_S", "IQ4_XS", "I8", "I16", "I32", "I64", "F64", "IQ1_M", "BF16", "Q4_0_4_4",
        "Q4_0_4_8",
        "Q4_0_8_8", "TQ1_0", "TQ2_0", "IQ4_NL_4_4", "IQ4_NL_4_8", "IQ4_NL_8_8", "MXFP4", "NVFP4",
        "Q1_0", "Q2_0" };
    for (uint32_t i = 0; i < sizeof of_ggml / sizeof *of_ggml; i++)
        assert_string_equal(quant_type_name(i), of_ggml[i]);
    assert_string_equal(quant_type_name(144), "IQ4_KS");
    assert_string_equal(quant_type_name(43), "unknown");
    assert_string_equal(quant_type_name(UINT32_MAX), "unknown");
}

static void each_has_one_to_take_instead(void **state)
{
    (void)state;
    assert_string_equal(quant_instead_of(31), "Q4_0");
    assert_string_equal(quant_instead_of(38), "IQ4_NL");
    assert_string_equal(quant_instead_of(40), "Q4_K_M or Q8_0");
    assert_string_equal(quant_instead_of(28), "F16 or Q8_0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_has_its_name),
        cmocka_unit_test(each_has_one_to_take_instead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
