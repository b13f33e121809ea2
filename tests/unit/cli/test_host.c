/* What Linux's files say of a machine, and powermetrics' lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/host/parts.h"
#include "unit/open_fds.h"

static const uint64_t second_ns = 1000000000;

/* Writes a file below `root`, making its folders. */
static void put(const char *root, const char *path, const char *text)
{
    char full[512];
    snprintf(full, sizeof full, "%s%s", root, path);
    char *slash = full + strlen(root);
    while ((slash = strchr(slash + 1, '/'))) {
        *slash = 0;
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int make_root(void **state)
{
    char *root = strdup("/tmp/paceline-host-XXXXXX");
    *state = root;
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", (char *)*state);
    const int code = system(command);
    free(*state);
    return code;
}

static struct host_figures nothing(void)
{
    return (struct host_figures){ .cpu_share = NAN, .cpu_celsius = NAN, .cpu_watts = NAN,
                                  .system_watts = NAN };
}

static void use_heat_and_power(void **state)
{
    const char *root = *state;
    struct host_linux *h = host_linux_open(root);
    struct host_figures f = nothing();
    assert_non_null(h);
    host_linux_read(h, second_ns, &f);              /* nothing there at all */
    assert_true(isnan(f.cpu_share) && isnan(f.cpu_celsius) && isnan(f.cpu_watts));

    put(root, "/proc/stat", "cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3 4\n");
    put(root, "/sys/class/hwmon/hwmon0/name", "nvme\n");
    put(root, "/sys/class/hwmon/hwmon0/temp1_input", "95000\n");
    put(root, "/sys/class/hwmon/hwmon1/name", "coretemp\n");
    put(root, "/sys/class/hwmon/hwmon1/temp1_input", "51000\n");
    put(root, "/sys/class/hwmon/hwmon1/temp2_input", "63500\n");
    put(root, "/sys/class/hwmon/hwmon1/temp3_input", "255000\n");   /* no sensor */
    put(root, "/sys/class/powercap/intel-rapl:0/energy_uj", "1000000\n");
    put(root, "/sys/class/powercap/intel-rapl:1/energy_uj", "2000000\n");
    f = nothing();
    host_linux_read(h, second_ns, &f);
    assert_true(isnan(f.cpu_share) && isnan(f.cpu_watts) && f.cpu_celsius == 63.5);

    put(root, "/proc/stat", "cpu  160 0 115 710 115 0 0 0 0 0\n");
    put(root, "/sys/class/powercap/intel-rapl:0/energy_uj", "51000000\n");
    put(root, "/sys/class/powercap/intel-rapl:1/energy_uj", "12000000\n");
    f = nothing();
    host_linux_read(h, 3 * second_ns, &f);
    assert_true(fabs(f.cpu_share - 0.75) < 1e-12);
    assert_true(fabs(f.cpu_watts - 30) < 1e-9);

    put(root, "/sys/class/powercap/intel-rapl:0/energy_uj", "5\n");     /* it began anew */
    put(root, "/proc/stat", "nonsense\n");
    f = nothing();
    host_linux_read(h, 4 * second_ns, &f);
    assert_true(isnan(f.cpu_share) && isnan(f.cpu_watts));
    host_linux_close(h);
}

static void zones_where_there_is_no_hwmon(void **state)
{
    const char *root = *state;
    struct host_linux *h = host_linux_open(root);
    struct host_figures f = nothing();
    put(root, "/sys/class/thermal/thermal_zone0/type", "battery\n");
    put(root, "/sys/class/thermal/thermal_zone0/temp", "99000\n");
    put(root, "/sys/class/thermal/thermal_zone1/type", "cpu-thermal\n");
    put(root, "/sys/class/thermal/thermal_zone1/temp", "48250\n");
    host_linux_read(h, second_ns, &f);
    assert_true(f.cpu_celsius == 48.25);
    host_linux_close(h);
}

/* As many sensors and packages as are looked at, and not one more; each name that is a
 * processor's. */
static void the_last_that_counts(void **state)
{
    static const char *const names[] = { "coretemp", "k10temp", "zenpower", "cpu_thermal",
                                         "cpu-thermal",
                                         "soc_thermal", "x86_pkg_temp", "cpu0_thermal" };
    const char *root = *state;
    struct host_linux *h = host_linux_open(root);
    struct host_figures f = nothing();
    put(root, "/sys/class/hwmon/hwmon0/temp1_input", "1000\n");
    put(root, "/sys/class/hwmon/hwmon0/temp32_input", "150000\n");
    put(root, "/sys/class/hwmon/hwmon0/temp33_input", "149000\n");
    put(root, "/sys/class/hwmon/hwmon0/temp2_input", "150001\n");
    put(root, "/sys/class/hwmon/hwmon0/temp3_input", "0\n");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        put(root, "/sys/class/hwmon/hwmon0/name", names[i]);
        f = nothing();
        host_linux_read(h, second_ns, &f);
        assert_true(f.cpu_celsius == 150);
    }
    put(root, "/sys/class/hwmon/hwmon0/temp32_input", "cold\n");
    f = nothing();
    host_linux_read(h, second_ns, &f);
    assert_true(f.cpu_celsius == 1);
    put(root, "/sys/class/hwmon/hwmon0/name", "xcoretemp");
    f = nothing();
    host_linux_read(h, second_ns, &f);
    assert_true(isnan(f.cpu_celsius));

    put(root, "/sys/class/powercap/intel-rapl:15/energy_uj", "1000000\n");
    put(root, "/sys/class/powercap/intel-rapl:16/energy_uj", "1000000\n");
    host_linux_read(h, second_ns, &f);
    put(root, "/sys/class/powercap/intel-rapl:15/energy_uj", "3500000\n");
    put(root, "/sys/class/powercap/intel-rapl:16/energy_uj", "9000000\n");
    f = nothing();
    host_linux_read(h, 2 * second_ns, &f);
    assert_true(f.cpu_watts == 2.5);
    f = nothing();
    host_linux_read(h, 2 * second_ns, &f);          /* in no time */
    assert_true(isnan(f.cpu_watts));
    f = nothing();
    host_linux_read(h, 3 * second_ns, &f);          /* nothing used is a figure too */
    assert_true(f.cpu_watts == 0);
    host_linux_close(h);
}

/* Kernels of old tell four kinds of ticks; all of eight count, and a count that fell says
 * nothing. */
static void shares_of_ticks(void **state)
{
    static const struct {
        const char *stat;
        double share;           /* of what passed since the one before; NAN: not told */
    } reads[] = {
        { "cpu 10 10 10 70\n", NAN }, { "cpu 20 20 20 140\n", 0.3 }, { "cpu 20 20 20 140\n", NAN },
        { "cpu 20 20 20 150\n", 0 }, { "cpu 19 20 20 160\n", NAN }, { "cpu 21 20 20 168\n", 0.2 },
        { "cpu 21 20 20 168 10 1 2 3\n", 6.0 / 16 }, { "cpu 30 20 20\n", NAN },
    };
    const char *root = *state;
    struct host_linux *h = host_linux_open(root);
    for (size_t i = 0; i < sizeof reads / sizeof *reads; i++) {
        struct host_figures f = nothing();
        put(root, "/proc/stat", reads[i].stat);
        host_linux_read(h, second_ns, &f);
        if (isnan(reads[i].share) ? !isnan(f.cpu_share)
                                  : !(fabs(f.cpu_share - reads[i].share) < 1e-12))
            fail_msg("read %zu: %g", i, f.cpu_share);
    }
    host_linux_close(h);
    char longest[201];
    memset(longest, '/', sizeof longest - 1);
    longest[200] = 0;
    assert_null(host_linux_open(longest));
    longest[199] = 0;
    h = host_linux_open(longest);
    assert_non_null(h);
    host_linux_close(h);
}

/* thermal.h: what holds processors back, and what only cools. */
static void throttling(void **state)
{
    const char *root = *state;
    char sys[256];
    struct thermal t;
    snprintf(sys, sizeof sys, "%s/sys", root);
    thermal_read_sysfs(&t, sys);
    assert_false(t.tells_throttled || t.tells_events || t.tells_pressure);
    put(root, "/sys/class/thermal/cooling_device0/type", "Fan\n");
    put(root, "/sys/class/thermal/cooling_device0/cur_state", "3\n");
    thermal_read_sysfs(&t, sys);
    assert_false(t.tells_throttled);
    put(root, "/sys/class/thermal/cooling_device1/type", "Processor\n");
    put(root, "/sys/class/thermal/cooling_device1/cur_state", "0\n");
    put(root, "/sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", "4\n");
    put(root, "/sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count", "10\n");
    put(root, "/sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count", "1\n");
    put(root, "/sys/devices/system/cpu/cpufreq/thermal_throttle/core_throttle_count", "x\n");
    thermal_read_sysfs(&t, sys);
    assert_true(t.tells_throttled && !t.is_throttled && t.tells_events);
    assert_int_equal(t.n_events, 15);
    put(root, "/sys/class/thermal/cooling_device2/type", "cpufreq-cpu0\n");
    put(root, "/sys/class/thermal/cooling_device2/cur_state", "2\n");
    thermal_read_sysfs(&t, sys);
    assert_true(t.is_throttled && !t.tells_low_power);
    put(root, "/sys/firmware/acpi/platform_profile", "balanced\n");
    thermal_read_sysfs(&t, sys);
    assert_true(t.tells_low_power && !t.is_low_power);
    put(root, "/sys/firmware/acpi/platform_profile", "low-power\n");
    thermal_read_sysfs(&t, sys);
    assert_true(t.is_low_power);
}

/* A stand-in prints what powermetrics prints, a long line among it, and stays. */
static void watts_of_powermetrics(void **state)
{
    struct host_powermetrics *h = host_powermetrics_open(
        "printf 'noise\\n%0999d\\nCPU Power: 4321 mW\\nGPU Power: 500 mW\\nCombined: 1 mW\\n' 1;"
        "while printf '\\n'; do sleep 0.05; done 2>/dev/null");
    struct host_figures f = nothing();
    (void)state;
    assert_non_null(h);
    for (int i = 0; i < 500 && isnan(f.cpu_watts); i++) {
        nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
        f = nothing();
        host_powermetrics_read(h, &f);
    }
    assert_true(fabs(f.cpu_watts - 4.321) < 1e-9);
    assert_int_equal(f.n_gpus, 1);
    assert_true(fabs(f.gpu[0].watts - 0.5) < 1e-9);
    host_powermetrics_close(h);
}

/* Whatever this machine tells is sane. */
static void this_machine(void **state)
{
    struct host *h = host_open(false);
    struct host_figures f;
    (void)state;
    assert_non_null(h);
    for (uint64_t i = 1; i <= 2; i++) {
        host_read(h, i * second_ns, &f);
        assert_true(isnan(f.cpu_share) || (f.cpu_share >= 0 && f.cpu_share <= 1));
        assert_true(isnan(f.cpu_celsius) || (f.cpu_celsius > 0 && f.cpu_celsius < 150));
        assert_true(f.n_gpus <= HOST_MAX_GPUS);
    }
    host_close(h);
    host_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(use_heat_and_power, make_root, remove_root),
        cmocka_unit_test_setup_teardown(zones_where_there_is_no_hwmon, make_root, remove_root),
        cmocka_unit_test_setup_teardown(the_last_that_counts, make_root, remove_root),
        cmocka_unit_test_setup_teardown(shares_of_ticks, make_root, remove_root),
        cmocka_unit_test_setup_teardown(throttling, make_root, remove_root),
        cmocka_unit_test(watts_of_powermetrics),
        cmocka_unit_test(this_machine),
    };
    const int n_open = n_open_fds(), failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed || n_open_fds() != n_open;     /* what was opened was closed */
}
