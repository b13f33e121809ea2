/* doctor: what it says of systems that are made of files here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "cli/doctor/doctor.h"
#include "unit/open_fds.h"

static char root[] = "/tmp/paceline-doctor-XXXXXX";

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
    put("/proc/self/cgroup", "0::/system.slice/paceline.service\n");
    put("/sys/fs/cgroup/memory.max", "8589934592\n");
    put("/sys/fs/cgroup/system.slice/paceline.service/memory.max", "4294967296\n");
    put("/sys/fs/cgroup/system.slice/paceline.service/memory.current", "1073741824\n");
    put("/sys/fs/cgroup/cpu.max", "150000 100000\n");
    struct doctor d = { .root = root };
    doctor_ask_system(&d);
    assert_finding(&d, "memory", FINDING_WRONG, "0.5 of 16.0 GiB");
    assert_finding(&d, "swap", FINDING_NOTE, "3.0 of 4.0 GiB");
    assert_finding(&d, "huge pages", FINDING_NOTE, "[never]");
    assert_finding(&d, "CPU governor", FINDING_NOTE, "powersave, balance_power");
    assert_finding(&d, "heat", FINDING_WRONG, "98");
    assert_finding(&d, "memory limit", FINDING_NOTE, "4.0 GiB, of which 3.0");
    assert_finding(&d, "CPU limit", FINDING_WRONG, "1.50 CPUs");
}

/* The text and what mends it, whole; mend NULL: nothing to mend. */
static void assert_said(const char *name, enum finding_state state, const char *text,
                        const char *mend)
{
    struct doctor d = { .root = root };
    doctor_ask_system(&d);
    const struct finding *f = find(&d, name);
    assert_non_null(f);
    assert_string_equal(f->text, text);
    assert_string_equal(f->mend, mend ? mend : "");
    assert_int_equal(f->state, state);
}

static void test_where_fine_ends(void **state)
{
    static const char full[] = "end what takes the memory; paceline plan says what a model needs";
    static const char swapped[] =
                                  "weights that are swapped out stall every stream: free memory, "
                                  "or run with --mlock";
    static const char slow[] =
        "the clock stays low between steps: cpupower frequency-set -g performance";
    static const char hot[] = "the CPU slows down near 100 °C: better cooling, or fewer --threads";
    (void)state;
    put("/proc/meminfo", "MemTotal: 4194304 kB\nMemAvailable: 1048576 kB\nSwapTotal: 1048576 kB\n"
                         "SwapFree: 786432 kB\n");
    assert_said("memory", FINDING_FINE, "1.0 of 4.0 GiB are available", NULL);
    assert_said("swap", FINDING_FINE, "0.2 of 1.0 GiB are used", NULL);
    put("/proc/meminfo", "MemTotal: 4194304 kB\nMemAvailable: 1048575 kB\nSwapTotal: 1048576 kB\n"
                         "SwapFree: 786431 kB\n");
    assert_said("memory", FINDING_WRONG, "1.0 of 4.0 GiB are available", full);
    assert_said("swap", FINDING_NOTE, "0.3 of 1.0 GiB are used", swapped);
    put("/proc/meminfo", "SwapTotal: 0 kB\nSwapFree: 0 kB\n");
    assert_said("swap", FINDING_FINE, "0.0 of 0.0 GiB are used", NULL);

    put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n");
    put("/sys/devices/system/cpu/cpu0/cpufreq/energy_performance_preference", "power\n");
    assert_said("CPU governor", FINDING_NOTE, "powersave, power", slow);
    put("/sys/devices/system/cpu/cpu0/cpufreq/energy_performance_preference", "performance\n");
    assert_said("CPU governor", FINDING_FINE, "powersave, performance", NULL);
    put("/sys/devices/system/cpu/cpu0/cpufreq/energy_performance_preference",
        "balance_performance\n");
    assert_said("CPU governor", FINDING_FINE, "powersave, balance_performance", NULL);
    put("/sys/devices/system/cpu/cpu0/cpufreq/energy_performance_preference", "");
    put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "schedutil\n");
    assert_said("CPU governor", FINDING_FINE, "schedutil", NULL);

    put("/sys/class/thermal/thermal_zone0/temp", "95000\n");
    put("/sys/class/thermal/thermal_zone1/temp", "150000\n");      /* no sensor */
    assert_said("heat", FINDING_WRONG, "95 °C at the hottest sensor", hot);
    put("/sys/class/thermal/thermal_zone0/temp", "94400\n");
    assert_said("heat", FINDING_FINE, "94 °C at the hottest sensor", NULL);
    put("/sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", "7\n");
    assert_said("heat", FINDING_FINE, "94 °C at the hottest sensor", NULL);
    put("/sys/class/thermal/thermal_zone0/temp", "150000\n");
    assert_said("heat", FINDING_FINE, "core 0 was held back 7 times since boot", NULL);
}

static void test_limit_of_open_files(void **state)
{
    struct rlimit before, limit;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    if (before.rlim_max < 2048) skip();
    for (rlim_t n = 2047; n <= 2048; n++) {
        struct doctor d = { .root = root };
        limit = (struct rlimit){ n, before.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        doctor_ask_limits(&d);
        assert_finding(&d, "open files", n < 2048 ? FINDING_WRONG : FINDING_FINE,
                       n < 2048 ? "2047 may be open" : "2048 may be open");
    }
    setrlimit(RLIMIT_NOFILE, &before);
}

static void test_no_more_findings_than_there_is_room_for(void **state)
{
    struct doctor d = { .root = root };
    (void)state;
    for (int i = 0; i < MAX_FINDINGS + 2; i++) doctor_find(&d, "x", FINDING_FINE, "%d", NULL, i);
    assert_int_equal(d.n_findings, MAX_FINDINGS);
    assert_string_equal(d.finding[MAX_FINDINGS - 1].name, "x");
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
    struct doctor open = { .root = "" };
    doctor_ask_port(&open, "0.0.0.0", ntohs(at.sin_port));
    assert_finding(&open, "reach", FINDING_NOTE, "other machines reach a server on 0.0.0.0");
    assert_null(find(&is_free, "reach"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef __linux__
        cmocka_unit_test(test_a_system_that_is_well),
        cmocka_unit_test(test_a_system_that_is_not),
        cmocka_unit_test(test_where_fine_ends),
        cmocka_unit_test(test_limit_of_open_files),
        cmocka_unit_test(test_no_more_findings_than_there_is_room_for),
        cmocka_unit_test(test_a_system_that_says_nothing),
#endif
        cmocka_unit_test(test_ports),
    };
    if (!mkdtemp(root)) return 1;
    const int n_open = n_open_fds();
    const int failed = cmocka_run_group_tests(tests, NULL, NULL) || n_open_fds() != n_open;
    char remove[64];
    snprintf(remove, sizeof remove, "rm -r %s", root);
    return system(remove) || failed;
}
