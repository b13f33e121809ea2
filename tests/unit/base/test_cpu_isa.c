/* What the processor says about itself, against what the compiler's own detection finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#endif

#include <cmocka.h>

#include "base/cpu_isa.h"

static void features_agree_with_the_compilers(void **state)
{
    (void)state;
    const struct cpu_isa isa = cpu_isa_read();
#if defined(__x86_64__)
    __builtin_cpu_init();
    assert_int_equal(isa.avx2, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                                   __builtin_cpu_supports("bmi2"));
    assert_int_equal(isa.avx512vnni,
                     __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi") &&
                         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("gfni"));
    assert_false(isa.neon || isa.i8mm);
#else
    assert_false(isa.avx2 || isa.avxvnni || isa.avx512vnni);
#endif
    assert_true(isa.avx2 || !(isa.avxvnni || isa.avx512vnni));
    assert_true(isa.neon || !isa.i8mm);
}

static void the_name_is_one_tidy_line(void **state)
{
    (void)state;
    char name[128], cut[9];

    cpu_name_read(name, sizeof name);
    assert_true(strlen(name) >= 5);
    assert_null(strstr(name, "  "));
    for (const char *p = name; *p; p++) assert_in_range(*p, 32, 126);
    memset(cut, 'x', sizeof cut);
    cpu_name_read(cut, 8);
    assert_int_equal(strlen(cut), strlen(name) < 7 ? strlen(name) : 7);
    assert_memory_equal(cut, name, strlen(cut));
    assert_int_equal(cut[8], 'x');
    cpu_name_read(cut, 0);
#if defined(__x86_64__)
    assert_non_null(strstr(name, "(family "));
#endif
}

static void cores_follow_the_affinity_mask(void **state)
{
    (void)state;
    const uint32_t n = cpu_performance_cores();
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    assert_in_range(n, 1, online);
#if defined(__linux__)
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    CPU_ZERO(&one);
    for (int cpu = 0; !CPU_COUNT(&one); cpu++)
        if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    const uint32_t n_pinned = cpu_performance_cores();
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_int_equal(n_pinned, 1);
    assert_int_equal(cpu_performance_cores(), n);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(features_agree_with_the_compilers),
        cmocka_unit_test(the_name_is_one_tidy_line),
        cmocka_unit_test(cores_follow_the_affinity_mask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
