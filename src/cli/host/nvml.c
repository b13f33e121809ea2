/* NVIDIA GPUs by the driver's own library, loaded where it is installed. The few declarations of
 * its interface that are used stand here: the library's ABI is kept stable by its maker. */
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/host/parts.h"

typedef struct nvml_device *nvml_device;

struct nvml_utilisation {
    unsigned gpu, memory;           /* per cent */
};

struct nvml_memory {
    unsigned long long total, free, used;
};

enum { NVML_TEMPERATURE_GPU = 0 };

struct host_nvml {
    void *library;
    int (*init)(void);
    int (*shutdown)(void);
    int (*count)(unsigned *n);
    int (*handle)(unsigned index, nvml_device *out);
    int (*name)(nvml_device d, char *out, unsigned n_out);
    int (*utilisation)(nvml_device d, struct nvml_utilisation *out);
    int (*temperature)(nvml_device d, int sensor, unsigned *celsius);
    int (*power)(nvml_device d, unsigned *milliwatts);
    int (*memory)(nvml_device d, struct nvml_memory *out);
    uint32_t n_gpus;
    nvml_device gpu[HOST_MAX_GPUS];
};

/* dlsym's pointer as one to a function, the way POSIX has it. */
static bool find(struct host_nvml *h, void *function, const char *name)
{
    *(void **)function = dlsym(h->library, name);
    return *(void **)function != NULL;
}

static bool find_all(struct host_nvml *h)
{
    return find(h, &h->init, "nvmlInit_v2") && find(h, &h->shutdown, "nvmlShutdown") &&
           find(h, &h->count, "nvmlDeviceGetCount_v2") &&
           find(h, &h->handle, "nvmlDeviceGetHandleByIndex_v2") &&
           find(h, &h->name, "nvmlDeviceGetName") &&
           find(h, &h->utilisation, "nvmlDeviceGetUtilizationRates") &&
           find(h, &h->temperature, "nvmlDeviceGetTemperature") &&
           find(h, &h->power, "nvmlDeviceGetPowerUsage") &&
           find(h, &h->memory, "nvmlDeviceGetMemoryInfo");
}

struct host_nvml *host_nvml_open(void)
{
    unsigned n = 0;
    struct host_nvml *h = calloc(1, sizeof *h);
    if (!h) return NULL;
    h->library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!h->library || !find_all(h) || h->init()) {
        if (h->library) dlclose(h->library);
        free(h);
        return NULL;
    }
    if (h->count(&n)) n = 0;
    for (unsigned i = 0; i < n && h->n_gpus < HOST_MAX_GPUS; i++)
        if (!h->handle(i, &h->gpu[h->n_gpus])) h->n_gpus++;
    return h;
}

static struct host_gpu read_gpu(const struct host_nvml *h, nvml_device d)
{
    struct host_gpu g = { .share = NAN, .celsius = NAN, .watts = NAN, .memory_bytes = NAN,
                          .memory_used_bytes = NAN };
    struct nvml_utilisation use;
    struct nvml_memory memory;
    unsigned n;
    if (h->name(d, g.name, sizeof g.name)) snprintf(g.name, sizeof g.name, "GPU");
    if (!h->utilisation(d, &use)) g.share = use.gpu / 100.0;
    if (!h->temperature(d, NVML_TEMPERATURE_GPU, &n)) g.celsius = n;
    if (!h->power(d, &n)) g.watts = n / 1000.0;
    if (!h->memory(d, &memory)) {
        g.memory_bytes = (double)memory.total;
        g.memory_used_bytes = (double)memory.used;
    }
    return g;
}

void host_nvml_read(struct host_nvml *h, struct host_figures *out)
{
    for (uint32_t i = 0; i < h->n_gpus && out->n_gpus < HOST_MAX_GPUS; i++)
        out->gpu[out->n_gpus++] = read_gpu(h, h->gpu[i]);
}

void host_nvml_close(struct host_nvml *h)
{
    if (!h) return;
    h->shutdown();
    dlclose(h->library);
    free(h);
}
