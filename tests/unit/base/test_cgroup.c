/* Limits of control groups, read from systems that are made of files here. */
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

#include "base/cgroup.h"
#include "base/memory_available.h"
#include "unit/open_fds.h"

static const uint64_t MIB = 1 << 20;
static char root[] = "/tmp/paceline-cgroup-XXXXXX";

static void put(const char *path, const char *text)
{
    char whole[512];
    snprintf(whole, sizeof whole, "%s%s", root, path);
    for (char *at = strchr(whole + sizeof root, '/'); at; at = strchr(at + 1, '/')) {
        *at = 0;
        mkdir(whole, 0700);
        *at = '/';
    }
    FILE *f = fopen(whole, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void put_number(const char *path, uint64_t n)
{
    char text[32];
    snprintf(text, sizeof text, "%llu\n", (unsigned long long)n);
    put(path, text);
}

static int forget_system(void **state)
{
    char command[64];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s/*", root);
    return system(command);
}

static void check(uint64_t limit, uint64_t left, double cpus)
{
    const struct cgroup_limits l = cgroup_limits_read(root);
    assert_true(l.memory_bytes == limit);
    assert_true(l.memory_left_bytes == left);
    assert_true(l.cpus == cpus);
}

static void check_available(uint64_t want)
{
#ifdef __linux__                /* no other system is asked by files */
    assert_true(memory_available_at(root) == want);
#else
    (void)want;
#endif
}

static void nothing_said_is_no_limit(void **state)
{
    (void)state;
    check(UINT64_MAX, UINT64_MAX, 0);
    check_available(UINT64_MAX);
    put("/proc/self/cgroup", "0::/\n");
    check(UINT64_MAX, UINT64_MAX, 0);
    put("/proc/meminfo", "MemTotal: 4096 kB\nMemFree: 512 kB\nMemAvailable:    1024 kB\n");
    check_available(MIB);
}

/* The root of version 2 has no files of limits: the unit's own folder has. */
static void a_units_own_limits(void **state)
{
    (void)state;
    put("/proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 12582912 kB\n");
    put("/proc/self/cgroup", "0::/system.slice/paceline.service\n");
    put_number("/sys/fs/cgroup/system.slice/paceline.service/memory.max", 1024 * MIB);
    put("/sys/fs/cgroup/system.slice/paceline.service/memory.high", "max\n");
    put("/sys/fs/cgroup/system.slice/paceline.service/cpu.max", "200000 100000\n");
    put("/sys/fs/cgroup/system.slice/memory.max", "max\n");
    put("/sys/fs/cgroup/system.slice/cpu.max", "max 100000\n");
    check(1024 * MIB, 1024 * MIB, 2);
    check_available(1024 * MIB);

    put_number("/sys/fs/cgroup/system.slice/paceline.service/memory.current", 300 * MIB);
    check(1024 * MIB, 724 * MIB, 2);
    put("/sys/fs/cgroup/system.slice/paceline.service/memory.stat",
        "anon 209715200\nfile 104857600\ninactive_anon 7\ninactive_file 83886080\nactive_file 9\n");
    check(1024 * MIB, 804 * MIB, 2);        /* 80 MiB of files can be dropped */
    check_available(804 * MIB);

    put_number("/sys/fs/cgroup/system.slice/paceline.service/memory.high", 512 * MIB);
    check(512 * MIB, 292 * MIB, 2);
    put_number("/sys/fs/cgroup/system.slice/paceline.service/memory.high", 100 * MIB);
    check(100 * MIB, 0, 2);
}

static void a_tighter_group_above(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/a.slice/a-b.slice/c.service\n");
    put_number("/sys/fs/cgroup/a.slice/a-b.slice/c.service/memory.max", 4096 * MIB);
    put("/sys/fs/cgroup/a.slice/a-b.slice/c.service/cpu.max", "800000 100000\n");
    put_number("/sys/fs/cgroup/a.slice/a-b.slice/memory.high", 3000 * MIB);
    put_number("/sys/fs/cgroup/a.slice/a-b.slice/memory.current", 2500 * MIB);
    put("/sys/fs/cgroup/a.slice/a-b.slice/cpu.max", "150000 100000\n");
    put_number("/sys/fs/cgroup/a.slice/memory.max", 3500 * MIB);
    check(3000 * MIB, 500 * MIB, 1.5);
    put_number("/sys/fs/cgroup/a.slice/memory.current", 3400 * MIB);
    check(3500 * MIB, 100 * MIB, 1.5);
    put("/sys/fs/cgroup/cpu.max", "50000 100000\n");     /* a container's root is a group */
    put_number("/sys/fs/cgroup/memory.max", 64 * MIB);
    check(64 * MIB, 64 * MIB, 0.5);
}

static void version_1(void **state)
{
    (void)state;
    put("/proc/self/cgroup",
        "11:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/x\n");
    put_number("/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", 2048 * MIB);
    put_number("/sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes", 1000 * MIB);
    put("/sys/fs/cgroup/memory/docker/abc/memory.stat",
        "inactive_file 5\ntotal_cache 99\ntotal_inactive_file 104857600\n");
    put_number("/sys/fs/cgroup/memory/memory.limit_in_bytes", 9223372036854771712u);
    put("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "50000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_period_us", "100000\n");
    check(2048 * MIB, 1148 * MIB, 0.5);
    put_number("/sys/fs/cgroup/memory/docker/memory.limit_in_bytes", 512 * MIB);
    check(512 * MIB, 512 * MIB, 0.5);
}

/* In a container without a namespace of groups the path is the machine's; what is mounted is its
 * end. */
static void version_1_in_a_container(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "5:cpuset:/\n4:memory:/docker/abc\n3:cpu:/docker/abc\n");
    put_number("/sys/fs/cgroup/memory/memory.limit_in_bytes", 700 * MIB);
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    check(700 * MIB, 700 * MIB, 3);
}

/* Version 2 beside version 1: controllers of either, the least of both. */
static void hybrid(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "4:memory:/m\n1:cpu:/\n0::/u/v\n");
    put_number("/sys/fs/cgroup/memory/m/memory.limit_in_bytes", 900 * MIB);
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/unified/u/cpu.max", "100000 50000\n");
    check(900 * MIB, 900 * MIB, 2);
    put_number("/sys/fs/cgroup/unified/u/v/memory.max", 800 * MIB);
    check(800 * MIB, 800 * MIB, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(nothing_said_is_no_limit, forget_system),
        cmocka_unit_test_teardown(a_units_own_limits, forget_system),
        cmocka_unit_test_teardown(a_tighter_group_above, forget_system),
        cmocka_unit_test_teardown(version_1, forget_system),
        cmocka_unit_test_teardown(version_1_in_a_container, forget_system),
        cmocka_unit_test_teardown(hybrid, forget_system),
    };
    if (!mkdtemp(root)) return 1;
    const int n_open = n_open_fds();
    const int failed = cmocka_run_group_tests(tests, NULL, NULL) || n_open_fds() != n_open;
    return rmdir(root) || failed;
}
