/* The CUDA backend: NVIDIA's GPUs, by way of a library that is opened when it is needed. Threads:
 * as backend.h says. */
#ifndef BACKEND_CUDA_BACKEND_CUDA_H
#define BACKEND_CUDA_BACKEND_CUDA_H

#include "backend/backend.h"

extern const struct backend_ops backend_cuda;

/* Whether the library of kernels lies where it is looked for: then the GPU is the first choice. */
bool backend_cuda_is_installed(void);

#endif
