#include "base/thermal.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#if defined(__APPLE__)
#include <notify.h>
#endif

enum { MAX_PATH = 512, HEAVY_PRESSURE = 2 };

static bool read_word(char *word, size_t n, const char *folder, const char *entry, const char *file)
{
    char path[MAX_PATH];
    if ((size_t)snprintf(path, sizeof path, "%s/%s/%s", folder, entry, file) >= sizeof path)
        return false;
    FILE *f = fopen(path, "r");
    if (!f) return false;
    const bool is_ok = fgets(word, (int)n, f) != NULL;
    fclose(f);
    if (is_ok) word[strcspn(word, "\n")] = 0;
    return is_ok;
}

static bool read_number(int64_t *out, const char *folder, const char *entry, const char *file)
{
    char word[32];
    return read_word(word, sizeof word, folder, entry, file) && sscanf(word, "%" SCNd64, out) == 1;
}

/* Calls `see` with each entry of a folder whose name begins so. */
static void each_entry(const char *folder, const char *prefix, struct thermal *out,
                       void (*see)(const char *folder, const char *entry, struct thermal *out))
{
    DIR *d = opendir(folder);
    if (!d) return;
    for (const struct dirent *e = readdir(d); e; e = readdir(d))
        if (!strncmp(e->d_name, prefix, strlen(prefix))) see(folder, e->d_name, out);
    closedir(d);
}

/* Fans cool too, and hold nothing back: only what lowers a processor's clock counts. */
static void see_cooling(const char *folder, const char *entry, struct thermal *out)
{
    char type[64];
    int64_t state;
    if (!read_word(type, sizeof type, folder, entry, "type")) return;
    if (strcmp(type, "Processor") && !strstr(type, "cpufreq")) return;
    if (!read_number(&state, folder, entry, "cur_state")) return;
    out->tells_throttled = true;
    out->is_throttled |= state > 0;
}

static void see_processor(const char *folder, const char *entry, struct thermal *out)
{
    static const char *const files[] = { "thermal_throttle/core_throttle_count",
                                         "thermal_throttle/package_throttle_count" };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        int64_t n;
        if (!read_number(&n, folder, entry, files[i]) || n < 0) continue;
        out->tells_events = true;
        out->n_events += (uint64_t)n;
    }
}

void thermal_read_sysfs(struct thermal *out, const char *root)
{
    char folder[MAX_PATH / 2];
    *out = (struct thermal){ 0 };
    snprintf(folder, sizeof folder, "%s/class/thermal", root);
    each_entry(folder, "cooling_device", out, see_cooling);
    snprintf(folder, sizeof folder, "%s/devices/system/cpu", root);
    each_entry(folder, "cpu", out, see_processor);

    char profile[32];
    snprintf(folder, sizeof folder, "%s/firmware", root);
    out->tells_low_power = read_word(profile, sizeof profile, folder, "acpi", "platform_profile");
    out->is_low_power = out->tells_low_power && !strcmp(profile, "low-power");
}

#if defined(__APPLE__)
void thermal_read(struct thermal *out)
{
    int token;
    uint64_t level;
    *out = (struct thermal){ .tells_low_power = true, .is_low_power = thermal_is_low_power() };
    if (notify_register_check("com.apple.system.thermalpressurelevel", &token)) return;
    if (!notify_get_state(token, &level)) {
        out->tells_pressure = out->tells_throttled = true;
        out->pressure = (uint32_t)level;
        out->is_throttled = level >= HEAVY_PRESSURE;    /* moderate: fans; heavy: slower clocks */
    }
    notify_cancel(token);
}
#else
void thermal_read(struct thermal *out)
{
    thermal_read_sysfs(out, "/sys");
}
#endif
