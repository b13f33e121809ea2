/* Behind host.h: where the figures come from. Each source fills what it knows and leaves the rest;
 * opening gives NULL where there is nothing to be had. */
#ifndef CLI_HOST_PARTS_H
#define CLI_HOST_PARTS_H

#include "cli/host/host.h"

/* Linux's files below `root` ("": the machine's own). */
struct host_linux;
struct host_linux *host_linux_open(const char *root);
void host_linux_read(struct host_linux *h, uint64_t now_ns, struct host_figures *out);
void host_linux_close(struct host_linux *h);

/* NVIDIA's library, if it is installed. */
struct host_nvml;
struct host_nvml *host_nvml_open(void);
void host_nvml_read(struct host_nvml *h, struct host_figures *out);
void host_nvml_close(struct host_nvml *h);

/* A program that prints watts every second, whose output is read as it comes. */
struct host_powermetrics;
struct host_powermetrics *host_powermetrics_open(const char *command);
void host_powermetrics_read(struct host_powermetrics *h, struct host_figures *out);
void host_powermetrics_close(struct host_powermetrics *h);

#if defined(__APPLE__)
/* Processor ticks. */
struct host_mach {
    uint64_t busy, all;
};
void host_mach_read(struct host_mach *h, struct host_figures *out);

/* Energy counters and GPU residency, from a library that Apple does not document. */
struct host_ioreport;
struct host_ioreport *host_ioreport_open(void);
void host_ioreport_read(struct host_ioreport *h, uint64_t now_ns, struct host_figures *out);
void host_ioreport_close(struct host_ioreport *h);

/* Sensors of the system management controller. */
struct host_smc;
struct host_smc *host_smc_open(void);
void host_smc_read(struct host_smc *h, struct host_figures *out);
void host_smc_close(struct host_smc *h);
#endif

#endif
