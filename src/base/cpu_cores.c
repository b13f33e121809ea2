#include "base/cpu_cores.h"

#include <inttypes.h>
#include <stdio.h>

/* Of 1024, the fastest core's; 0: not told. */
static uint32_t capacity_of(const char *root, uint32_t cpu)
{
    char path[256];
    uint32_t capacity = 0;
    snprintf(path, sizeof path, "%s/sys/devices/system/cpu/cpu%" PRIu32 "/cpu_capacity", root, cpu);
    FILE *f = fopen(path, "re");
    if (!f) return 0;
    if (fscanf(f, "%" SCNu32, &capacity) != 1) capacity = 0;
    fclose(f);
    return capacity;
}

uint32_t cpu_fast_cores(const char *root, const uint32_t *cpu, uint32_t n_cpus)
{
    uint32_t largest = 0, n = 0;
    for (uint32_t i = 0; i < n_cpus; i++) {
        const uint32_t capacity = capacity_of(root, cpu[i]);
        if (!capacity) return n_cpus;
        largest = capacity > largest ? capacity : largest;
    }
    for (uint32_t i = 0; i < n_cpus; i++) n += 2 * capacity_of(root, cpu[i]) >= largest;
    return n;
}
