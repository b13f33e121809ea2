#if defined(__APPLE__)
/* macOS: how much the processors work. */
#include <mach/mach.h>

#include "cli/host/parts.h"

void host_mach_read(struct host_mach *h, struct host_figures *out)
{
    host_cpu_load_info_data_t load;
    mach_msg_type_number_t n = HOST_CPU_LOAD_INFO_COUNT;
    const mach_port_t host = mach_host_self();
    const kern_return_t result =
        host_statistics(host, HOST_CPU_LOAD_INFO, (host_info_t)&load, &n);
    mach_port_deallocate(mach_task_self(), host);
    if (result) return;
    uint64_t all = 0;
    for (int i = 0; i < CPU_STATE_MAX; i++) all += load.cpu_ticks[i];
    const uint64_t busy = all - load.cpu_ticks[CPU_STATE_IDLE];
    if (h->all && all > h->all && busy >= h->busy)
        out->cpu_share = (double)(busy - h->busy) / (double)(all - h->all);
    h->busy = busy;
    h->all = all;
}
#endif
