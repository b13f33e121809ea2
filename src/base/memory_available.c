#include "base/memory_available.h"

#ifdef __APPLE__
#include <mach/mach.h>

uint64_t memory_available(void)
{
    vm_statistics64_data_t vm;
    mach_msg_type_number_t n = HOST_VM_INFO64_COUNT;
    vm_size_t page;
    const mach_port_t host = mach_host_self();
    if (host_page_size(host, &page) != KERN_SUCCESS ||
        host_statistics64(host, HOST_VM_INFO64, (host_info64_t)&vm, &n) != KERN_SUCCESS)
        return UINT64_MAX;
    return ((uint64_t)vm.free_count + vm.inactive_count + vm.purgeable_count) * page;
}

#elif defined __linux__
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The number behind `key` in a file of "key number" lines; `otherwise` where there is none. */
static uint64_t read_line(const char *path, const char *key, uint64_t otherwise)
{
    char line[256];
    uint64_t value = otherwise;
    const size_t n_key = strlen(key);
    FILE *f = fopen(path, "re");
    if (!f) return otherwise;
    while (fgets(line, sizeof line, f))
        if (!strncmp(line, key, n_key) && sscanf(line + n_key, "%" SCNu64, &value) == 1) break;
    fclose(f);
    return value;
}

/* Version 2: the unified tree as a container or a service sees it. "max" is no number. */
static uint64_t cgroup2_available(void)
{
    const uint64_t max = read_line("/sys/fs/cgroup/memory.max", "", UINT64_MAX);
    const uint64_t used = read_line("/sys/fs/cgroup/memory.current", "", 0);
    const uint64_t cache = read_line("/sys/fs/cgroup/memory.stat", "inactive_file ", 0) +
                           read_line("/sys/fs/cgroup/memory.stat", "active_file ", 0);
    if (max == UINT64_MAX) return max;
    const uint64_t held = used > cache ? used - cache : 0;
    return max > held ? max - held : 0;
}

static uint64_t cgroup1_available(void)
{
    const uint64_t max =
        read_line("/sys/fs/cgroup/memory/memory.limit_in_bytes", "", UINT64_MAX);
    const uint64_t used = read_line("/sys/fs/cgroup/memory/memory.usage_in_bytes", "", 0);
    const uint64_t cache = read_line("/sys/fs/cgroup/memory/memory.stat", "total_cache ", 0);
    if (max >= UINT64_MAX / 4) return UINT64_MAX;   /* "no limit" is a huge number there */
    const uint64_t held = used > cache ? used - cache : 0;
    return max > held ? max - held : 0;
}

uint64_t memory_available(void)
{
    const uint64_t kib = read_line("/proc/meminfo", "MemAvailable:", UINT64_MAX / 1024);
    const uint64_t machine = kib * 1024, two = cgroup2_available(), one = cgroup1_available();
    const uint64_t group = one < two ? one : two;
    return group < machine ? group : machine;
}

#else
uint64_t memory_available(void)
{
    return UINT64_MAX;
}
#endif
