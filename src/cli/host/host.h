/* What this machine's processors and GPUs do, as far as the system tells without root.
 *
 * One thread. Use shares and watts are of the time between two reads: the first read has none. */
#ifndef CLI_HOST_HOST_H
#define CLI_HOST_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/thermal.h"

enum { HOST_MAX_GPUS = 8 };

struct host_gpu {
    char name[40];
    double share, celsius, watts;           /* NAN: not told */
    double memory_bytes, memory_used_bytes;
};

struct host_figures {
    double cpu_share, cpu_celsius, cpu_watts, system_watts;     /* NAN: not told */
    uint32_t n_gpus;
    struct host_gpu gpu[HOST_MAX_GPUS];
    struct thermal thermal;
};

struct host;

/* NULL: out of memory. `may_run_powermetrics`: macOS's powermetrics is started through sudo without
 * a password where nothing else tells watts. */
struct host *host_open(bool may_run_powermetrics);
void host_read(struct host *h, uint64_t now_ns, struct host_figures *out);
void host_close(struct host *h);        /* NULL is allowed */

#endif
