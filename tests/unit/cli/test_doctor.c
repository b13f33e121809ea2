/* doctor: what it says of systems that are made of files here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "cli/doctor/doctor.h"

static char root[] = "/tmp/paceline-doctor-XXXXXX";

/* A file of the made-up system, with all folders on the way. */
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

static const struct finding *find(const struct doctor *d, const char *name)
{
    for (uint32_t i = 0; i < d->n_findings; i++)
        if (!strcmp(d->finding[i].name, name)) return &d->finding[i];
    return NULL;
}

static void assert_finding(const struct doctor *d, const char *name, enum finding_state state,
                           const char *piece)
{
    const struct finding *f = find(d, name);
    if (!f) fail_msg("no finding \"%s\"", name);
    if (!strstr(f->text, piece)) fail_msg("%s: \"%s\" lacks \"%s\"", name, f->text, piece);
    assert_int_equal(f->state, state);
    assert_int_equal(!*f->mend, state == FINDING_FINE);
}

#ifdef __linux__
static void test_a_system_that_is_well(void **state)
{
    (void)state;
    put("/proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 12582912 kB\nSwapTotal: 1048576 kB\n"
                         "SwapFree: 1048576 kB\n");
    put("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
    put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n");
    put("/sys/class/thermal/thermal_zone0/temp", "48000\n");
    put("/sys/class/thermal/thermal_zone1/temp", "61000\n");
    put("/sys/fs/cgroup/memory.max", "max\n");
    put("/sys/fs/cgroup/cpu.max", "max 100000\n");
    put("/proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module 580.1\n");
    struct doctor d = { .root = root };
    doctor_ask_system(&d);
    assert_finding(&d, "memory", FINDING_FINE, "12.0 of 16.0 GiB");
    assert_finding(&d, "swap", FINDING_FINE, "0.0 of 1.0 GiB");
    assert_finding(&d, "huge pages", FINDING_FINE, "[madvise]");
    assert_finding(&d, "CPU governor", FINDING_FINE, "performance");
    assert_finding(&d, "heat", FINDING_FINE, "61");
    assert_finding(&d, "GPU driver", FINDING_FINE, "580.1");
    assert_null(find(&d, "memory limit"));
    assert_null(find(&d, "CPU limit"));
}

static void test_a_system_that_is_not(void **state)
{
    (void)state;
    put("/proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 524288 kB\nSwapTotal: 4194304 kB\n"
                         "SwapFree: 1048576 kB\n");
    put("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
    put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n");
    put("/sys/devices/system/cpu/cpu0/cpufreq/energy_performance_preference", "balance_power\n");
    put("/sys/class/thermal/thermal_zone0/temp", "98000\n");
    put("/sys/fs/cgroup/memory.max", "4294967296\n");
    put("/sys/fs/cgroup/cpu.max", "150000 100000\n");
    struct doctor d = { .root = root };
    doctor_ask_system(&d);
    assert_finding(&d, "memory", FINDING_WRONG, "0.5 of 16.0 GiB");
    assert_finding(&d, "swap", FINDING_NOTE, "3.0 of 4.0 GiB");
    assert_finding(&d, "huge pages", FINDING_NOTE, "[never]");
    assert_finding(&d, "CPU governor", FINDING_NOTE, "powersave, balance_power");
    assert_finding(&d, "heat", FINDING_WRONG, "98");
    assert_finding(&d, "memory limit", FINDING_NOTE, "4.0 GiB");
    assert_finding(&d, "CPU limit", FINDING_WRONG, "1.50 CPUs");
}

static void test_a_system_that_says_nothing(void **state)
{
    (void)state;
    struct doctor d = { .root = "/nowhere" };
    doctor_ask_system(&d);
    assert_int_equal(d.n_findings, 0);
}
#endif

static void test_ports(void **state)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t n = sizeof at;
    (void)state;
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_false(bind(fd, (struct sockaddr *)&at, sizeof at));
    assert_false(listen(fd, 1));
    assert_false(getsockname(fd, (struct sockaddr *)&at, &n));
    struct doctor taken = { .root = "" }, is_free = { .root = "" }, wrong = { .root = "" };
    doctor_ask_port(&taken, "127.0.0.1", ntohs(at.sin_port));
    assert_finding(&taken, "port", FINDING_WRONG, "in use");
    close(fd);
    doctor_ask_port(&is_free, "127.0.0.1", ntohs(at.sin_port));
    assert_finding(&is_free, "port", FINDING_FINE, "is free");
    doctor_ask_port(&wrong, "localhost.", 1);
    assert_finding(&wrong, "port", FINDING_WRONG, "no IPv4 address");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef __linux__
        cmocka_unit_test(test_a_system_that_is_well),
        cmocka_unit_test(test_a_system_that_is_not),
        cmocka_unit_test(test_a_system_that_says_nothing),
#endif
        cmocka_unit_test(test_ports),
    };
    if (!mkdtemp(root)) return 1;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char remove[64];
    snprintf(remove, sizeof remove, "rm -r %s", root);
    return system(remove) || failed;
}
