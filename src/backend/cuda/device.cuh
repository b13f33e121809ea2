/* Inside the library: the open device, and how kernels are put on its stream. */
#ifndef BACKEND_CUDA_DEVICE_CUH
#define BACKEND_CUDA_DEVICE_CUH

#include <cuda_runtime.h>

#include "backend/cuda/plugin.h"

struct cuda_memory {
    cuda_memory *next;
    void *at;
    bool is_host;
};

struct cuda_device {
    cudaStream_t stream;
    cudaEvent_t mark[CUDA_MARKS];
    cudaError_t failed;         /* the first of what was launched since the last wait */
    cuda_memory *memory;
};

static inline void keep_error(cuda_device *d, cudaError_t e)
{
    if (e != cudaSuccess && d->failed == cudaSuccess) d->failed = e;
}

/* The kernel may begin before the one before is done: all of ours wait for it themselves. */
template <typename Args>
static inline void launch(cuda_device *d, void (*kernel)(Args), dim3 grid, int n_threads,
                          size_t shared_bytes, const Args &args)
{
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = dim3(n_threads);
    config.dynamicSmemBytes = shared_bytes;
    config.stream = d->stream;
    config.attrs = &attribute;
    config.numAttrs = 1;
    keep_error(d, cudaLaunchKernelEx(&config, kernel, args));
}

/* Kernels that use more than 48 KB say so once. */
template <typename Args>
static inline void allow_shared(cuda_device *d, void (*kernel)(Args), size_t shared_bytes)
{
    keep_error(d, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                       (int)shared_bytes));
}

/* What can be launched, by file. */
#define X(name, args) void launch_##name(cuda_device *d, const args *a);
CUDA_KERNELS(X)
#undef X
cuda_status launch_measure(cuda_device *d, double *macs_per_s, double *read_bytes_per_s,
                         char text[CUDA_TEXT_BYTES]);

/* Of one block of columns, by format: a file each, so that they compile beside each other. */
void product_q4_k(cuda_device *d, const product_args *a);
void product_q6_k(cuda_device *d, const product_args *a);
void product_q8(cuda_device *d, const product_args *a);
void product_f16(cuda_device *d, const product_args *a);
void product_mixed(cuda_device *d, const product_args *a);      /* q4_k, the others q6_k */

#endif
