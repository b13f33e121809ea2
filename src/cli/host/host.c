#include "cli/host/host.h"

#include <math.h>
#include <stdlib.h>

#include "cli/host/parts.h"

struct host {
    struct host_nvml *nvml;
    struct host_powermetrics *powermetrics;
#if defined(__APPLE__)
    struct host_mach mach;
    struct host_ioreport *ioreport;
    struct host_smc *smc;
#else
    struct host_linux *linux_files;
#endif
};

struct host *host_open(bool may_run_powermetrics)
{
    struct host *h = calloc(1, sizeof *h);
    if (!h) return NULL;
#if defined(__APPLE__)
    h->ioreport = host_ioreport_open();
    h->smc = host_smc_open();
    if (!h->ioreport && may_run_powermetrics)
        h->powermetrics = host_powermetrics_open(
            "exec sudo -n /usr/bin/powermetrics --samplers cpu_power,gpu_power -i 1000 "
            "2>/dev/null");
#else
    (void)may_run_powermetrics;
    h->linux_files = host_linux_open("");
    h->nvml = host_nvml_open();
#endif
    return h;
}

void host_read(struct host *h, uint64_t now_ns, struct host_figures *out)
{
    *out = (struct host_figures){ .cpu_share = NAN, .cpu_celsius = NAN, .cpu_watts = NAN,
                                  .system_watts = NAN };
    thermal_read(&out->thermal);
#if defined(__APPLE__)
    host_mach_read(&h->mach, out);
    if (h->ioreport) host_ioreport_read(h->ioreport, now_ns, out);
    if (h->smc) host_smc_read(h->smc, out);
#else
    if (h->linux_files) host_linux_read(h->linux_files, now_ns, out);
#endif
    if (h->nvml) host_nvml_read(h->nvml, out);
    if (h->powermetrics) host_powermetrics_read(h->powermetrics, out);
}

void host_close(struct host *h)
{
    if (!h) return;
#if defined(__APPLE__)
    host_ioreport_close(h->ioreport);
    host_smc_close(h->smc);
#else
    host_linux_close(h->linux_files);
#endif
    host_nvml_close(h->nvml);
    host_powermetrics_close(h->powermetrics);
    free(h);
}
