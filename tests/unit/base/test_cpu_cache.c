/* Last-level caches as Linux names them, in made-up systems: each counted once, whoever shares it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/cpu_cache.h"

static void make_folders(char *path)
{
    for (char *at = path + 1; (at = strchr(at, '/')); at++) {
        *at = 0;
        mkdir(path, 0700);
        *at = '/';
    }
}

static void write_file(const char *root, int cpu, int index, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/sys/devices/system/cpu/cpu%d/cache/index%d/%s", root, cpu,
             index, name);
    make_folders(path);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void add_cache(const char *root, int cpu, int index, const char *level, const char *size,
                      const char *shared)
{
    write_file(root, cpu, index, "level", level);
    if (size) write_file(root, cpu, index, "size", size);
    if (shared) write_file(root, cpu, index, "shared_cpu_list", shared);
}

static char *new_root(char *name)
{
    strcpy(name, "/tmp/paceline_cache_XXXXXX");
    assert_non_null(mkdtemp(name));
    return name;
}

static void remove_root(const char *root)
{
    char command[256];
    snprintf(command, sizeof command, "rm -r '%s'", root);
    assert_int_equal(system(command), 0);
}

static void a_shared_cache_counts_once(void **state)
{
    char root[64];
    (void)state;
    new_root(root);
    for (int cpu = 0; cpu < 4; cpu++) {
        add_cache(root, cpu, 0, "1\n", "48K\n", NULL);
        add_cache(root, cpu, 1, "2\n", "2048K\n", NULL);
        add_cache(root, cpu, 2, "3\n", "32M\n", cpu < 2 ? "0-1\n" : "2-3\n");
    }
    assert_true(cpu_last_cache_bytes(root) == 64ull << 20);
    remove_root(root);
}

/* No third level; the second is each processor's own, and the file that would say so is missing. */
static void the_last_level_is_what_there_is(void **state)
{
    char root[64];
    (void)state;
    new_root(root);
    for (int cpu = 0; cpu < 3; cpu++) {
        add_cache(root, cpu, 0, "1\n", "64K\n", NULL);
        add_cache(root, cpu, 1, "2\n", "1024K\n", NULL);
    }
    assert_true(cpu_last_cache_bytes(root) == 3ull << 20);
    remove_root(root);
}

static void what_is_not_said_is_nothing(void **state)
{
    char root[64];
    (void)state;
    assert_true(cpu_last_cache_bytes("/nowhere/at/all") == 0);
    new_root(root);
    add_cache(root, 0, 0, "3\n", NULL, NULL);
    assert_true(cpu_last_cache_bytes(root) == 0);
    remove_root(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shared_cache_counts_once),
        cmocka_unit_test(the_last_level_is_what_there_is),
        cmocka_unit_test(what_is_not_said_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
