#include "cli/doctor/doctor.h"

#ifdef __linux__
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cgroup.h"

static const double GIB = 1073741824.0;

/* First line of a file below the root, without its end; false: there is none. */
static bool read_text(const struct doctor *d, const char *path, char *out, size_t n)
{
    char whole[PATH_MAX];
    snprintf(whole, sizeof whole, "%s%s", d->root, path);
    FILE *f = fopen(whole, "re");
    if (!f) return false;
    const bool is_read = fgets(out, (int)n, f);
    fclose(f);
    if (is_read) out[strcspn(out, "\n")] = 0;
    return is_read;
}

/* A line of /proc/meminfo in bytes; -1: there is none. */
static double meminfo(const struct doctor *d, const char *key)
{
    char path[PATH_MAX], line[128];
    double kib = -1;
    snprintf(path, sizeof path, "%s/proc/meminfo", d->root);
    FILE *f = fopen(path, "re");
    if (!f) return -1;
    while (fgets(line, sizeof line, f))
        if (!strncmp(line, key, strlen(key)) && line[strlen(key)] == ':')
            kib = strtod(line + strlen(key) + 1, NULL);
    fclose(f);
    return kib < 0 ? -1 : kib * 1024;
}

static void ask_memory(struct doctor *d)
{
    const double total = meminfo(d, "MemTotal"), available = meminfo(d, "MemAvailable");
    const double swap = meminfo(d, "SwapTotal"), swap_free = meminfo(d, "SwapFree");
    if (total > 0)
        doctor_find(d, "memory", available < 1 * GIB ? FINDING_WRONG : FINDING_FINE,
                    "%.1f of %.1f GiB are available", available < 1 * GIB ?
                    "end what takes the memory; paceline plan says what a model needs" : NULL,
                    available / GIB, total / GIB);
    if (swap > 0 && swap - swap_free > 0.25 * GIB)
        doctor_find(d, "swap", FINDING_NOTE, "%.1f of %.1f GiB are used",
                    "weights that are swapped out stall every stream: free memory, or run with "
                    "--mlock", (swap - swap_free) / GIB, swap / GIB);
    else if (swap >= 0)
        doctor_find(d, "swap", FINDING_FINE, "%.1f of %.1f GiB are used", NULL,
                    (swap - swap_free) / GIB, swap / GIB);
}

static void ask_huge_pages(struct doctor *d)
{
    char modes[64];
    if (!read_text(d, "/sys/kernel/mm/transparent_hugepage/enabled", modes, sizeof modes)) return;
    const bool is_never = strstr(modes, "[never]");
    doctor_find(d, "huge pages", is_never ? FINDING_NOTE : FINDING_FINE, "%s",
                is_never ? "reads of weights are faster with them: echo madvise > "
                           "/sys/kernel/mm/transparent_hugepage/enabled" : NULL, modes);
}

static void ask_governor(struct doctor *d)
{
    char governor[32], preference[32] = "";
    if (!read_text(d, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", governor,
                   sizeof governor)) return;
    read_text(d, "/sys/devices/system/cpu/cpu0/cpufreq/energy_performance_preference", preference,
              sizeof preference);
    const bool is_slow = !strcmp(governor, "powersave") && strncmp(preference, "performance", 11) &&
                         strncmp(preference, "balance_performance", 19);
    doctor_find(d, "CPU governor", is_slow ? FINDING_NOTE : FINDING_FINE, "%s%s%s",
                is_slow ? "the clock stays low between steps: cpupower frequency-set -g performance"
                        : NULL, governor, *preference ? ", " : "", preference);
}

/* Times a core was held back since boot: a count that moved says little, one that is zero a lot. */
static void ask_heat(struct doctor *d)
{
    char path[96], text[64];
    double hottest = -1;
    for (int i = 0; i < 64; i++) {
        snprintf(path, sizeof path, "/sys/class/thermal/thermal_zone%d/temp", i);
        if (!read_text(d, path, text, sizeof text)) break;
        const double celsius = strtod(text, NULL) / 1000;
        if (celsius > hottest && celsius < 150) hottest = celsius;
    }
    const bool is_counted = read_text(
        d, "/sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", text, sizeof text);
    if (hottest < 0 && !is_counted) return;
    const bool is_hot = hottest >= 95;
    if (hottest < 0)
        doctor_find(d, "heat", FINDING_FINE, "core 0 was held back %s times since boot", NULL,
                    text);
    else
        doctor_find(d, "heat", is_hot ? FINDING_WRONG : FINDING_FINE,
                    "%.0f °C at the hottest sensor",
                    is_hot ? "the CPU slows down near 100 °C: better cooling, or fewer --threads"
                           : NULL, hottest);
}

/* What paceline itself goes by, of this program: a service has groups of its own. */
static void ask_groups(struct doctor *d)
{
    const struct cgroup_limits l = cgroup_limits_read(d->root);
    if (l.memory_bytes != UINT64_MAX)
        doctor_find(d, "memory limit", FINDING_NOTE,
                    "a control group allows %.1f GiB, of which %.1f are left",
                    "paceline keeps below it; raise MemoryMax and MemoryHigh, or the container's "
                    "limit, for more", (double)l.memory_bytes / GIB,
                    (double)l.memory_left_bytes / GIB);
    if (l.cpus > 0)
        doctor_find(d, "CPU limit", FINDING_WRONG, "a control group allows %.2f CPUs by quota",
                    "a quota stops all threads in the middle of a step: give whole CPUs (cpuset, "
                    "CPUAffinity) and as many --threads", l.cpus);
}

static void ask_driver(struct doctor *d)
{
    char version[160];
    if (read_text(d, "/proc/driver/nvidia/version", version, sizeof version))
        doctor_find(d, "GPU driver", FINDING_FINE, "%.150s", NULL, version);
}

void doctor_ask_system(struct doctor *d)
{
    ask_memory(d);
    ask_groups(d);
    ask_huge_pages(d);
    ask_governor(d);
    ask_heat(d);
    ask_driver(d);
}
#endif
