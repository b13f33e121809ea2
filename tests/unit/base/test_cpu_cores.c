/* Cores of several kinds, in made-up systems. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cpu_cores.h"

static void make_folders(char *path)
{
    for (char *at = path + 1; (at = strchr(at, '/')); at++) {
        *at = 0;
        mkdir(path, 0700);
        *at = '/';
    }
}

static void set_capacity(const char *root, uint32_t cpu, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/sys/devices/system/cpu/cpu%u/cpu_capacity", root, cpu);
    make_folders(path);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void slow_cores_do_not_count(void **state)
{
    const uint32_t all[] = { 0, 1, 2, 3, 4, 5 }, slow[] = { 0, 1 };
    char root[] = "/tmp/paceline_cores_XXXXXX", command[64];
    (void)state;
    assert_non_null(mkdtemp(root));
    for (uint32_t cpu = 0; cpu < 6; cpu++)
        set_capacity(root, cpu, cpu < 2 ? "300\n" : cpu < 5 ? "512\n" : "1024\n");
    assert_int_equal(cpu_fast_cores(root, all, 6), 4);
    assert_int_equal(cpu_fast_cores(root, slow, 2), 2);     /* among themselves they are not */
    assert_int_equal(cpu_fast_cores(root, all, 5), 5);      /* 300 is more than half of 512 */
    set_capacity(root, 3, "?\n");
    assert_int_equal(cpu_fast_cores(root, all, 6), 6);
    snprintf(command, sizeof command, "rm -r '%s'", root);
    assert_int_equal(system(command), 0);
}

static void all_count_where_nothing_is_told(void **state)
{
    const uint32_t all[] = { 0, 1, 2 };
    (void)state;
    assert_int_equal(cpu_fast_cores("/nowhere/at/all", all, 3), 3);
    assert_int_equal(cpu_fast_cores("/nowhere/at/all", all, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slow_cores_do_not_count),
        cmocka_unit_test(all_count_where_nothing_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
