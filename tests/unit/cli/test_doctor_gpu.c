/* doctor: what it says of a GPU that is there, that is not, and where none is asked for. Its
 * backends stand in for those of src/backend/registry.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "backend/cpu/backend_cpu.h"
#include "cli/doctor/doctor.h"

static bool is_there;

static pl_status reach(char *name, size_t n_bytes, pl_err *err)
{
    if (!is_there) return pl_fail(err, PL_E_UNSUPPORTED, "no GPU: use --backend cpu");
    snprintf(name, n_bytes, "Apple M4 Pro");
    return PL_OK;
}

const struct backend_ops *backend_find(const char *name)
{
    static struct backend_ops gpu;
    if (strcmp(name, "gpu")) return &backend_cpu;
    gpu = backend_cpu;
    gpu.reach = reach;
    return &gpu;
}

const char *backend_names(void)
{
    return "cpu, gpu";
}

static void a_gpu_is_found_or_missed(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct doctor d = { .root = "" };
        is_there = i;
        doctor_ask_gpu(&d, "gpu");
        assert_int_equal(d.n_findings, 1);
        assert_string_equal(d.finding[0].name, "GPU");
        assert_int_equal(d.finding[0].state, i ? FINDING_FINE : FINDING_WRONG);
        assert_non_null(strstr(d.finding[0].text, i ? "M4 Pro is reached" : "no GPU"));
        assert_int_equal(!*d.finding[0].mend, i);
    }
}

static void a_processor_is_no_finding(void **state)
{
    (void)state;
    struct doctor d = { .root = "" };
    doctor_ask_gpu(&d, "cpu");
    assert_int_equal(d.n_findings, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gpu_is_found_or_missed),
        cmocka_unit_test(a_processor_is_no_finding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
