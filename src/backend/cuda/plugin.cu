/* libpaceline_cuda.so: the device, its memory and its stream, and the table the program gets. */
#include <cstdio>
#include <cstdlib>

#include "backend/cuda/device.cuh"

enum { WANTED_MAJOR = 9, WANTED_MINOR = 0, OLDEST_DRIVER = 13000 };

static cuda_status say(char *text, cudaError_t e, const char *what)
{
    if (e == cudaSuccess) return 0;
    snprintf(text, CUDA_TEXT_BYTES, "%s: %s", what, cudaGetErrorString(e));
    return 1;
}

/* ---- the device ----------------------------------------------------------------------------- */

/* Kernels are compiled for one family, whose instructions they use. */
static bool can_run(int device, cudaDeviceProp *facts)
{
    return cudaGetDeviceProperties(facts, device) == cudaSuccess &&
           facts->major == WANTED_MAJOR && facts->minor == WANTED_MINOR;
}

static cuda_status find(int *device, cuda_facts *facts, char *text)
{
    cudaDeviceProp found;
    int n = 0, driver = 0;
    if (say(text, cudaDriverGetVersion(&driver), "the driver does not tell its version")) return 1;
    if (!driver) {
        snprintf(text, CUDA_TEXT_BYTES, "no NVIDIA driver is installed");
        return 1;
    }
    if (driver < OLDEST_DRIVER) {
        snprintf(text, CUDA_TEXT_BYTES, "the NVIDIA driver is of CUDA %d.%d; %d.%d or later is "
                 "wanted: update the driver", driver / 1000, driver % 1000 / 10,
                 OLDEST_DRIVER / 1000, OLDEST_DRIVER % 1000 / 10);
        return 1;
    }
    if (say(text, cudaGetDeviceCount(&n), "no GPU is found")) return 1;
    for (*device = 0; *device < n; ++*device) {
        if (!can_run(*device, &found)) continue;
        snprintf(facts->name, sizeof facts->name, "%.95s", found.name);
        facts->n_multiprocessors = (uint32_t)found.multiProcessorCount;
        facts->memory_bytes = found.totalGlobalMem;
        return 0;
    }
    if (n)
        snprintf(text, CUDA_TEXT_BYTES, "found %.60s, compute capability %d.%d; the kernels are "
                 "made for %d.%d (H100, H200): use --backend cpu", found.name, found.major, found.minor,
                 WANTED_MAJOR, WANTED_MINOR);
    else
        snprintf(text, CUDA_TEXT_BYTES, "the driver knows of no GPU: use --backend cpu");
    return 1;
}

static cuda_status reach(cuda_facts *facts, char text[CUDA_TEXT_BYTES])
{
    int device;
    return find(&device, facts, text);
}

static void close_device(cuda_device *d)
{
    if (!d) return;
    if (d->stream) cudaStreamSynchronize(d->stream);
    for (cuda_memory *m = d->memory, *next; m; m = next) {
        next = m->next;
        if (m->is_host) cudaFreeHost(m->at);
        else cudaFree(m->at);
        free(m);
    }
    for (int i = 0; i < CUDA_MARKS; i++)
        if (d->mark[i]) cudaEventDestroy(d->mark[i]);
    if (d->stream) cudaStreamDestroy(d->stream);
    free(d);
}

static cuda_status open_device(cuda_device **out, cuda_facts *facts, char text[CUDA_TEXT_BYTES])
{
    int device;
    size_t free_bytes = 0, all_bytes = 0;
    *out = NULL;
    if (find(&device, facts, text) || say(text, cudaSetDevice(device), "the GPU does not open"))
        return 1;
    cuda_device *d = (cuda_device *)calloc(1, sizeof *d);
    if (!d) {
        snprintf(text, CUDA_TEXT_BYTES, "no memory for the device's record");
        return 1;
    }
    cuda_status st = say(text, cudaMemGetInfo(&free_bytes, &all_bytes), "the GPU's memory");
    if (!st)
        st = say(text, cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking), "a stream");
    for (int i = 0; i < CUDA_MARKS && !st; i++)
        st = say(text, cudaEventCreate(&d->mark[i]), "an event");
    facts->free_bytes = free_bytes;
    if (st) close_device(d);
    else *out = d;
    return st;
}

/* ---- memory --------------------------------------------------------------------------------- */

static cuda_status keep(cuda_device *d, void *at, bool is_host, char *text)
{
    cuda_memory *m = (cuda_memory *)malloc(sizeof *m);
    if (!m) {
        snprintf(text, CUDA_TEXT_BYTES, "no memory for a record");
        return 1;
    }
    *m = { d->memory, at, is_host };
    d->memory = m;
    return 0;
}

static cuda_status take(cuda_device *d, uint64_t n_bytes, void **out, char text[CUDA_TEXT_BYTES])
{
    *out = NULL;
    if (!n_bytes) return 0;
    const cudaError_t e = cudaMalloc(out, n_bytes);
    if (e != cudaSuccess) {
        cudaGetLastError();
        size_t free_bytes = 0, all_bytes = 0;
        cudaMemGetInfo(&free_bytes, &all_bytes);
        snprintf(text, CUDA_TEXT_BYTES, "%llu MiB of GPU memory are wanted, %zu MiB are free (%s)",
                 (unsigned long long)(n_bytes >> 20), free_bytes >> 20, cudaGetErrorString(e));
        return 1;
    }
    if (keep(d, *out, false, text)) return 1;
    return say(text, cudaMemsetAsync(*out, 0, n_bytes, d->stream), "clearing memory");
}

static cuda_status take_host(cuda_device *d, uint64_t n_bytes, void **out,
                             char text[CUDA_TEXT_BYTES])
{
    *out = NULL;
    if (!n_bytes) return 0;
    if (say(text, cudaMallocHost(out, n_bytes), "memory that the GPU reads")) return 1;
    return keep(d, *out, true, text);
}

static void upload(cuda_device *d, void *to, const void *from, uint64_t n_bytes)
{
    keep_error(d, cudaMemcpyAsync(to, from, n_bytes, cudaMemcpyHostToDevice, d->stream));
}

static void download(cuda_device *d, void *to, const void *from, uint64_t n_bytes)
{
    keep_error(d, cudaMemcpyAsync(to, from, n_bytes, cudaMemcpyDeviceToHost, d->stream));
}

static void copy(cuda_device *d, void *to, const void *from, uint64_t n_bytes)
{
    keep_error(d, cudaMemcpyAsync(to, from, n_bytes, cudaMemcpyDeviceToDevice, d->stream));
}

/* ---- waiting -------------------------------------------------------------------------------- */

static cuda_status outcome(cuda_device *d, cudaError_t e, char *text)
{
    if (e == cudaSuccess) e = d->failed;
    d->failed = cudaSuccess;
    return say(text, e, "the GPU failed");
}

static cuda_status wait(cuda_device *d, char text[CUDA_TEXT_BYTES])
{
    return outcome(d, cudaStreamSynchronize(d->stream), text);
}

static cuda_status upload_now(cuda_device *d, void *to, const void *from, uint64_t n_bytes,
                              char text[CUDA_TEXT_BYTES])
{
    upload(d, to, from, n_bytes);
    return wait(d, text);
}

static void mark(cuda_device *d, uint32_t i)
{
    keep_error(d, cudaEventRecord(d->mark[i], d->stream));
}

static cuda_status wait_mark(cuda_device *d, uint32_t i, char text[CUDA_TEXT_BYTES])
{
    return outcome(d, cudaEventSynchronize(d->mark[i]), text);
}

static float ms_between(cuda_device *d, uint32_t first, uint32_t second)
{
    float ms = 0;
    keep_error(d, cudaEventElapsedTime(&ms, d->mark[first], d->mark[second]));
    return ms;
}

/* ---- launching ------------------------------------------------------------------------------ */

static void launch_one(cuda_device *d, cuda_kernel kernel, const void *args)
{
    switch (kernel) {
#define X(name, type)                                                                              \
    case CUDA_##name: launch_##name(d, (const type *)args); break;
        CUDA_KERNELS(X)
#undef X
    default: break;
    }
}

struct cuda_graph {
    cudaGraphExec_t run;
};

static void graph_begin(cuda_device *d)
{
    keep_error(d, cudaStreamBeginCapture(d->stream, cudaStreamCaptureModeThreadLocal));
}

static cuda_status graph_end(cuda_device *d, cuda_graph **out, char text[CUDA_TEXT_BYTES])
{
    cudaGraph_t recorded = NULL;
    cuda_graph *g = (cuda_graph *)calloc(1, sizeof *g);
    cudaError_t e = cudaStreamEndCapture(d->stream, &recorded);
    if (e == cudaSuccess) e = d->failed;
    d->failed = cudaSuccess;
    if (e == cudaSuccess && !g) e = cudaErrorMemoryAllocation;
    if (e == cudaSuccess) e = cudaGraphInstantiate(&g->run, recorded, 0);
    if (recorded) cudaGraphDestroy(recorded);
    *out = g;
    if (e == cudaSuccess) return 0;
    cudaGetLastError();
    free(g);
    *out = NULL;
    return say(text, e, "a graph");
}

static void graph_run(cuda_device *d, cuda_graph *g)
{
    keep_error(d, cudaGraphLaunch(g->run, d->stream));
}

static void graph_free(cuda_device *d, cuda_graph *g)
{
    if (!g) return;
    keep_error(d, cudaGraphExecDestroy(g->run));
    free(g);
}

/* ---- the table ------------------------------------------------------------------------------ */

extern "C" __attribute__((visibility("default"))) const cuda_plugin *paceline_cuda_plugin(void)
{
    static const cuda_plugin plugin = {
        CUDA_PLUGIN_VERSION, reach, open_device, close_device, take, take_host, upload, download,
        copy, upload_now, wait, mark, wait_mark, ms_between, launch_one, graph_begin, graph_end,
        graph_run, graph_free, launch_measure,
    };
    return &plugin;
}
