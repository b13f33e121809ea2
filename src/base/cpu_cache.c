/* Linux names every cache of a processor below its folder (index0, index1, ...), with a level, a
 * size ("32768K") and the processors that share it, of which the first one counts the cache. */
#include "base/cpu_cache.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

enum { MAX_CPUS = 4096, MAX_CACHES = 8 };

/* The number at the beginning of a file of a cache's, and what follows it. */
static bool read_number(const char *root, uint32_t cpu, uint32_t index, const char *name,
                        uint64_t *out, char *unit)
{
    char path[256];
    const int n = snprintf(path, sizeof path, "%s/sys/devices/system/cpu/cpu%" PRIu32
                           "/cache/index%" PRIu32 "/%s", root, cpu, index, name);
    FILE *f = n > 0 && (size_t)n < sizeof path ? fopen(path, "re") : NULL;
    if (!f) return false;
    *unit = 0;
    const bool ok = fscanf(f, "%" SCNu64 "%c", out, unit) >= 1;
    fclose(f);
    return ok;
}

/* Bytes of the processor's last cache, unless an earlier processor has counted it; false: nothing
 * is known of this processor. */
static bool last_cache(const char *root, uint32_t cpu, uint64_t *n_bytes)
{
    uint64_t highest = 0, level, size, first;
    char unit, ignored;
    *n_bytes = 0;
    for (uint32_t i = 0; i < MAX_CACHES; i++) {
        if (!read_number(root, cpu, i, "level", &level, &ignored)) break;
        if (level < highest || !read_number(root, cpu, i, "size", &size, &unit)) continue;
        const bool is_first =
            !read_number(root, cpu, i, "shared_cpu_list", &first, &ignored) || first == cpu;
        highest = level;
        *n_bytes = is_first ? size << (unit == 'K' ? 10 : unit == 'M' ? 20 : 0) : 0;
    }
    return highest > 0;
}

uint64_t cpu_last_cache_bytes(const char *root)
{
    uint64_t all = 0, n_bytes;
    for (uint32_t cpu = 0; cpu < MAX_CPUS && last_cache(root, cpu, &n_bytes); cpu++)
        all += n_bytes;
    return all;
}
