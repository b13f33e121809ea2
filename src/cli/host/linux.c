/* Linux: /proc/stat, hwmon and thermal zones, and the energy counters of powercap (RAPL), which
 * kernels since 5.10 let only root read. */
#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/host/parts.h"

enum { MAX_PATH = 512, MAX_ROOT = 200 };

struct host_linux {
    char root[MAX_ROOT];
    uint64_t busy, all;             /* processor ticks at the last read */
    uint64_t energy_uj, read_ns;    /* of all packages at the last read */
    bool has_ticks, has_energy;
};

struct host_linux *host_linux_open(const char *root)
{
    if (strlen(root) >= MAX_ROOT) return NULL;
    struct host_linux *h = calloc(1, sizeof *h);
    if (h) snprintf(h->root, sizeof h->root, "%s", root);
    return h;
}

void host_linux_close(struct host_linux *h)
{
    free(h);
}

static bool read_line(char *line, size_t n_line, const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f) return false;
    const bool is_ok = fgets(line, (int)n_line, f) != NULL;
    fclose(f);
    if (is_ok) line[strcspn(line, "\n")] = 0;
    return is_ok;
}

static bool read_u64(uint64_t *out, const char *path)
{
    char line[32];
    return read_line(line, sizeof line, path) && sscanf(line, "%" SCNu64, out) == 1;
}

/* ---- use ------------------------------------------------------------------------------------ */

static void read_use(struct host_linux *h, struct host_figures *out)
{
    char path[MAX_PATH], line[256];
    uint64_t t[8] = { 0 };          /* user nice system idle iowait irq softirq steal */
    snprintf(path, sizeof path, "%s/proc/stat", h->root);
    if (!read_line(line, sizeof line, path)) return;
    if (sscanf(line, "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
               " %" SCNu64 " %" SCNu64, &t[0], &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]) < 4)
        return;
    uint64_t all = 0;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) all += t[i];
    const uint64_t busy = all - t[3] - t[4];
    if (h->has_ticks && all > h->all && busy >= h->busy)
        out->cpu_share = (double)(busy - h->busy) / (double)(all - h->all);
    h->busy = busy;
    h->all = all;
    h->has_ticks = true;
}

/* ---- temperature ---------------------------------------------------------------------------- */

static bool is_cpu_sensor(const char *name)
{
    static const char *const names[] = { "coretemp", "k10temp", "zenpower", "cpu_thermal",
                                         "cpu-thermal", "soc_thermal", "x86_pkg_temp", "cpu0" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strncmp(name, names[i], strlen(names[i]))) return true;
    return false;
}

static void take_celsius(double *hottest, const char *path)
{
    char line[32];
    long milli;
    if (!read_line(line, sizeof line, path) || sscanf(line, "%ld", &milli) != 1) return;
    if (milli <= 0 || milli > 150000) return;       /* a sensor that is not there */
    if (isnan(*hottest) || milli / 1000.0 > *hottest) *hottest = milli / 1000.0;
}

/* The hottest sensor whose name says it is a processor's. Folders look alike: hwmon0/name with
 * temp1_input, thermal_zone0/type with temp. */
static double hottest_below(const char *root, const char *folder, const char *name_file)
{
    char at[MAX_PATH / 2], path[MAX_PATH], name[64];
    double hottest = NAN;
    snprintf(at, sizeof at, "%s%s", root, folder);
    DIR *d = opendir(at);
    if (!d) return NAN;
    for (const struct dirent *e = readdir(d); e; e = readdir(d)) {
        if (e->d_name[0] == '.' || strlen(e->d_name) > 64) continue;
        snprintf(path, sizeof path, "%s/%s/%s", at, e->d_name, name_file);
        if (!read_line(name, sizeof name, path) || !is_cpu_sensor(name)) continue;
        snprintf(path, sizeof path, "%s/%s/temp", at, e->d_name);
        take_celsius(&hottest, path);
        for (int i = 1; i <= 32; i++) {
            snprintf(path, sizeof path, "%s/%s/temp%d_input", at, e->d_name, i);
            take_celsius(&hottest, path);
        }
    }
    closedir(d);
    return hottest;
}

/* ---- power ---------------------------------------------------------------------------------- */

/* Energy of all processor packages ever; their counters start anew at a limit of their own, which
 * costs one reading. False: not told. */
static bool read_energy(const struct host_linux *h, uint64_t *out)
{
    bool is_any = false;
    *out = 0;
    for (int i = 0; i < 16; i++) {
        char path[MAX_PATH];
        uint64_t uj;
        snprintf(path, sizeof path, "%s/sys/class/powercap/intel-rapl:%d/energy_uj", h->root, i);
        if (!read_u64(&uj, path)) continue;
        *out += uj;
        is_any = true;
    }
    return is_any;
}

static void read_power(struct host_linux *h, uint64_t now_ns, struct host_figures *out)
{
    uint64_t uj;
    const bool has_energy = read_energy(h, &uj);
    const double seconds = (double)(now_ns - h->read_ns) * 1e-9;
    if (has_energy && h->has_energy && uj >= h->energy_uj && seconds > 0)
        out->cpu_watts = (double)(uj - h->energy_uj) * 1e-6 / seconds;
    h->energy_uj = uj;
    h->read_ns = now_ns;
    h->has_energy = has_energy;
}

void host_linux_read(struct host_linux *h, uint64_t now_ns, struct host_figures *out)
{
    read_use(h, out);
    out->cpu_celsius = hottest_below(h->root, "/sys/class/hwmon", "name");
    if (isnan(out->cpu_celsius))
        out->cpu_celsius = hottest_below(h->root, "/sys/class/thermal", "type");
    read_power(h, now_ns, out);
}
