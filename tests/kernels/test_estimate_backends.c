/* What the plan says that backends make of weights, against the backends: bytes of each type as
 * packed, and the widths of Metal's products. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "backend/cpu/panels/panel.h"
#include "backend/metal/fragment.c"     /* plain C; no Linux build has it otherwise */
#include "estimate/backends.h"
#include "estimate/metal_costs.h"

enum { N_K = 4096 };

static void check(uint32_t type, const char *backend, double found, double wanted)
{
    if (fabs(found - wanted) > 1e-9)
        fail_msg("%s on %s: %.9g bytes a weight, not %.9g", quant_traits(type)->name, backend,
                 found, wanted);
}

static void test_packed_bytes_are_the_backends(void **state)
{
    unsigned n = 0;
    (void)state;
    for (uint32_t type = 0; type < QUANT_TYPES_END; type++) {
        if (!quant_traits(type)->name) continue;
        const int panel = panel_format_of(type, N_K), fragment = fragment_format_of(type, N_K);
        assert_true(panel >= 0 && fragment >= 0);
        check(type, "cpu", estimate_bytes_a_weight(ESTIMATE_CPU, type),
              (double)panel_bytes((enum panel_format)panel, N_K) / (PANEL_ROWS * N_K));
        check(type, "metal", estimate_bytes_a_weight(ESTIMATE_METAL, type),
              (double)fragment_tile_bytes((enum fragment_format)fragment, N_K) / (TILE_ROWS * N_K));
        check(type, "cuda", estimate_bytes_a_weight(ESTIMATE_CUDA, type),
              (double)quant_row_bytes(type, N_K) / N_K);
        n++;
    }
    assert_int_equal(n, 16);
}

static void test_widths_are_the_kernels(void **state)
{
    (void)state;
    assert_int_equal(METAL_FRAGMENT * METAL_MOST_FRAGMENTS, 8 * MAX_FRAGMENTS);
    assert_int_equal(METAL_FEW, FEW_COLUMNS);
    assert_int_equal(METAL_TENSOR_COLUMNS, TENSOR_COLUMNS);
    assert_int_equal(METAL_ATTEND_ROWS, ATTEND_ROWS * MAX_ROW_TILES);
    assert_int_equal(METAL_ATTEND_SPLIT, SPLIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packed_bytes_are_the_backends),
        cmocka_unit_test(test_widths_are_the_kernels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
