#include "base/memory_available.h"

#ifdef __APPLE__
#include <mach/mach.h>

uint64_t memory_available_at(const char *root)
{
    (void)root;
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
#include <limits.h>
#include <stdio.h>

#include "base/cgroup.h"

static uint64_t machine_available(const char *root)
{
    char line[PATH_MAX];
    uint64_t kib = UINT64_MAX / 1024;
    snprintf(line, sizeof line, "%s/proc/meminfo", root);
    FILE *f = fopen(line, "re");
    if (!f) return UINT64_MAX;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %" SCNu64, &kib) == 1) break;
    fclose(f);
    return kib * 1024;
}

uint64_t memory_available_at(const char *root)
{
    const uint64_t machine = machine_available(root);
    const uint64_t group = cgroup_limits_read(root).memory_left_bytes;
    return group < machine ? group : machine;
}

#else
uint64_t memory_available_at(const char *root)
{
    (void)root;
    return UINT64_MAX;
}
#endif

uint64_t memory_available(void)
{
    return memory_available_at("");
}
