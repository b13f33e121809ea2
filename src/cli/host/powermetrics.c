/* macOS's powermetrics, where it may be run: lines like "CPU Power: 4321 mW". */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/host/parts.h"

struct host_powermetrics {
    FILE *from;
    char line[256];
    size_t n;
    double cpu_watts, gpu_watts;    /* as said last */
};

struct host_powermetrics *host_powermetrics_open(const char *command)
{
    struct host_powermetrics *h = calloc(1, sizeof *h);
    if (!h) return NULL;
    h->cpu_watts = h->gpu_watts = NAN;
    h->from = popen(command, "r");
    if (h->from) {
        const int fd = fileno(h->from);
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        return h;
    }
    free(h);
    return NULL;
}

static void take_line(struct host_powermetrics *h)
{
    double milliwatts;
    if (sscanf(h->line, "CPU Power: %lf mW", &milliwatts) == 1) h->cpu_watts = milliwatts / 1000;
    if (sscanf(h->line, "GPU Power: %lf mW", &milliwatts) == 1) h->gpu_watts = milliwatts / 1000;
}

static void take_bytes(struct host_powermetrics *h, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] == '\n') {
            h->line[h->n] = 0;
            take_line(h);
            h->n = 0;
        } else if (h->n + 1 < sizeof h->line) {
            h->line[h->n++] = bytes[i];
        }
    }
}

void host_powermetrics_read(struct host_powermetrics *h, struct host_figures *out)
{
    char bytes[4096];
    ssize_t n;
    while ((n = read(fileno(h->from), bytes, sizeof bytes)) > 0) take_bytes(h, bytes, (size_t)n);
    if (n == 0) h->cpu_watts = h->gpu_watts = NAN;      /* it ended: nothing is known any more */
    if (isnan(out->cpu_watts)) out->cpu_watts = h->cpu_watts;
    if (isnan(h->gpu_watts)) return;
    if (!out->n_gpus)
        out->gpu[out->n_gpus++] = (struct host_gpu){ "GPU", NAN, NAN, NAN, NAN, NAN };
    if (isnan(out->gpu[0].watts)) out->gpu[0].watts = h->gpu_watts;
}

/* It ends at its next line, which nobody reads. */
void host_powermetrics_close(struct host_powermetrics *h)
{
    if (!h) return;
    pclose(h->from);
    free(h);
}
