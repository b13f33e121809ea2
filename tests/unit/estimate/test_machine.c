/* Each machine's figures against what its sources state, typed once more: gigabytes, GB/s and
 * TFLOPS as the makers and the measurements have them (src/estimate/machine.c names each). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "estimate/machine.h"

static const struct {
    const char *name;
    enum estimate_backend backend;
    double memory_gib, usable_gib, spec_gb_s, read_gb_s;
    double tflops;              /* that products reach */
    double g_lanes_s;           /* lane instructions of a GPU's cores */
} wanted[] = {
    { "m2-pro-32", ESTIMATE_METAL, 32, 24.96, 200, 170, 5.2725, 3404.8 },
    { "m3-max-64", ESTIMATE_METAL, 64, 51.84, 400, 360, 11.1, 7168 },
    { "m3-ultra-96", ESTIMATE_METAL, 96, 77.76, 819, 636, 16.65, 10752 },
    { "m3-ultra-60c-256", ESTIMATE_METAL, 256, 222.59, 819, 636, 16.65, 10752 },
    { "m3-ultra-256", ESTIMATE_METAL, 256, 222.59, 819, 636, 22.2, 14336 },
    { "m3-ultra-512", ESTIMATE_METAL, 512, 445.44, 819, 636, 22.2, 14336 },
    { "m4-16", ESTIMATE_METAL, 16, 11.84, 120, 101, 3.1, 2022.4 },
    { "m4-24", ESTIMATE_METAL, 24, 17.76, 120, 101, 3.1, 2022.4 },
    { "m4-32", ESTIMATE_METAL, 32, 24.96, 120, 101, 3.1, 2022.4 },
    { "m4-pro-16c-24", ESTIMATE_METAL, 24, 17.76, 273, 232, 5.04, 3235.84 },
    { "m4-pro-16c-48", ESTIMATE_METAL, 48, 37.44, 273, 232, 5.04, 3235.84 },
    { "m4-pro-16c-64", ESTIMATE_METAL, 64, 51.84, 273, 232, 5.04, 3235.84 },
    { "m4-pro-24", ESTIMATE_METAL, 24, 17.76, 273, 232, 6.3, 4044.8 },
    { "m4-pro-48", ESTIMATE_METAL, 48, 37.44, 273, 232, 6.3, 4044.8 },
    { "m4-pro-64", ESTIMATE_METAL, 64, 51.84, 273, 232, 6.3, 4044.8 },
    { "m4-max-36", ESTIMATE_METAL, 36, 28.08, 410, 348, 9.92, 6471.68 },
    { "m4-max-48", ESTIMATE_METAL, 48, 37.44, 546, 464, 12.4, 8089.6 },
    { "m4-max-64", ESTIMATE_METAL, 64, 51.84, 546, 464, 12.4, 8089.6 },
    { "m4-max-128", ESTIMATE_METAL, 128, 107.52, 546, 464, 12.4, 8089.6 },
    { "m5-16", ESTIMATE_METAL_TENSORS, 16, 11.84, 153, 130, 10.5, 2022.4 },
    { "m5-24", ESTIMATE_METAL_TENSORS, 24, 17.76, 153, 130, 10.5, 2022.4 },
    { "m5-32", ESTIMATE_METAL_TENSORS, 32, 24.96, 153, 130, 10.5, 2022.4 },
    { "m5-pro-16c-24", ESTIMATE_METAL_TENSORS, 24, 17.76, 307, 261, 16.8, 3235.84 },
    { "m5-pro-24", ESTIMATE_METAL_TENSORS, 24, 17.76, 307, 261, 21, 4044.8 },
    { "m5-pro-48", ESTIMATE_METAL_TENSORS, 48, 37.44, 307, 261, 21, 4044.8 },
    { "m5-pro-64", ESTIMATE_METAL_TENSORS, 64, 51.84, 307, 261, 21, 4044.8 },
    { "m5-max-36", ESTIMATE_METAL_TENSORS, 36, 28.08, 460, 391, 33.6, 6471.68 },
    { "m5-max-48", ESTIMATE_METAL_TENSORS, 48, 37.44, 614, 522, 42, 8089.6 },
    { "m5-max-64", ESTIMATE_METAL_TENSORS, 64, 51.84, 614, 522, 42, 8089.6 },
    { "m5-max-128", ESTIMATE_METAL_TENSORS, 128, 107.52, 614, 522, 42, 8089.6 },
    { "rtx-3090", ESTIMATE_CUDA, 24, 23, 936, 795.6, 42.6, 0 },
    { "rtx-4090", ESTIMATE_CUDA, 24, 23, 1008, 856.8, 99.1, 0 },
    { "rtx-5090", ESTIMATE_CUDA, 32, 31, 1792, 1523.2, 125.7, 0 },
    { "rtx-pro-6000", ESTIMATE_CUDA, 96, 95, 1792, 1523.2, 302.3, 0 },
    { "dgx-spark", ESTIMATE_CUDA, 128, 112, 273, 232, 75, 0 },
    { "h100", ESTIMATE_CUDA, 79.6, 78.6, 3350, 2847.5, 590, 0 },
    { "h200", ESTIMATE_CUDA, 140.4, 139.4, 4800, 4080, 590, 0 },
    { "strix-halo-gpu", ESTIMATE_ROCM, 128, 112, 256, 218, 35.6, 0 },
    { "strix-halo", ESTIMATE_CPU, 128, 112, 256, 128, 3.31776, 0 },
    { "epyc-9654", ESTIMATE_CPU, 384, 360, 460.8, 391.68, 7.962624, 0 },
    { "epyc-9755", ESTIMATE_CPU, 384, 360, 576, 489.6, 23.887872, 0 },
    { "xeon-8480", ESTIMATE_CPU, 256, 240, 307.2, 261.12, 7.74144, 0 },
    { "xeon-6980p", ESTIMATE_CPU, 384, 360, 614.4, 522.24, 17.69472, 0 },
};

static void check(const char *name, const char *what, double found, double wanted_value)
{
    if (fabs(found - wanted_value) > 5e-4 * fabs(wanted_value))
        fail_msg("%s: %s is %.9g, not %.9g", name, what, found, wanted_value);
}

static void test_every_machine_is_as_its_sources_say(void **state)
{
    (void)state;
    assert_int_equal(n_machines, sizeof wanted / sizeof *wanted);
    for (size_t i = 0; i < n_machines; i++) {
        const struct machine *m = machine_find(wanted[i].name);
        if (!m) fail_msg("%s is missing", wanted[i].name);
        assert_int_equal(m->backend, wanted[i].backend);
        check(m->name, "memory", m->memory_bytes / 1073741824.0, wanted[i].memory_gib);
        check(m->name, "usable memory", m->usable_bytes / 1073741824.0, wanted[i].usable_gib);
        check(m->name, "stated bandwidth", m->spec_bytes_per_s * 1e-9, wanted[i].spec_gb_s);
        check(m->name, "reads", m->read_bytes_per_s * 1e-9, wanted[i].read_gb_s);
        check(m->name, "products", m->macs_per_s * 2e-12, wanted[i].tflops);
        check(m->name, "lane instructions", m->lanes_per_s * 1e-9, wanted[i].g_lanes_s);
    }
}

static void test_every_machine_is_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_machines; i++) {
        const struct machine *m = &machines[i];
        assert_ptr_equal(machine_find(m->name), m);
        assert_true(m->usable_bytes < m->memory_bytes);
        assert_true(m->read_bytes_per_s < m->spec_bytes_per_s);
        assert_true(m->layer_s > 0);
        assert_true(strlen(m->source) > 10 && strlen(m->spec_source) > 10 && m->memory_source);
        assert_true(strlen(m->name) <= 16);     /* the tables' width */
        assert_int_equal(estimate_backend_is_metal(m->backend), m->lanes_per_s > 0);
        assert_true(!estimate_backend_is_metal(m->backend) || m->alu_macs_per_s > 0);
    }
    assert_null(machine_find("m4-pro"));
}

/* A figure that is no whole number stays one: a half, a third, an eighth of what a macro
 * multiplies. */
static void test_no_figure_is_cut_off(void **state)
{
    (void)state;
    check("m5-pro-64", "multiply-adds", machine_find("m5-pro-64")->macs_per_s, 10.5e12);
    check("dgx-spark", "multiply-adds", machine_find("dgx-spark")->macs_per_s, 37.5e12);
    check("m4-max-128", "the CPU's multiply-adds", machine_find("m4-max-128")->cpu_macs_per_s,
          1.3e12);
    check("m4-16", "the CPU's multiply-adds", machine_find("m4-16")->cpu_macs_per_s, 0.85e12);
    check("m4-pro-64", "the CPU's multiply-adds", machine_find("m4-pro-64")->cpu_macs_per_s,
          1.1e12);
    check("m5-32", "multiply-adds without tensor operations", machine_find("m5-32")->alu_macs_per_s,
          1.55e12);
}

static void test_backends(void **state)
{
    (void)state;
    assert_int_equal(estimate_backend_of("metal"), ESTIMATE_METAL);
    assert_int_equal(estimate_backend_of("metal-tensors"), ESTIMATE_METAL_TENSORS);
    assert_int_equal(estimate_backend_of("cpu"), ESTIMATE_CPU);
    assert_false(estimate_backend_traits(ESTIMATE_CUDA)->is_there);
    assert_false(estimate_backend_traits(ESTIMATE_ROCM)->is_there);
    assert_false(estimate_backend_traits(ESTIMATE_METAL_TENSORS)->is_default);
    assert_true(estimate_backend_traits(ESTIMATE_METAL_TENSORS)->is_there);
    assert_null(estimate_backend_traits(ESTIMATE_CPU)->caveat);
    for (int b = ESTIMATE_METAL; b <= ESTIMATE_ROCM; b++)
        assert_non_null(estimate_backend_traits((enum estimate_backend)b)->caveat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_machine_is_as_its_sources_say),
        cmocka_unit_test(test_every_machine_is_sound),
        cmocka_unit_test(test_no_figure_is_cut_off),
        cmocka_unit_test(test_backends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
