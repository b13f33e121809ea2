/* The backends of this build. */
#include <string.h>

#include "backend/backend.h"
#include "backend/cpu/backend_cpu.h"
#ifdef PACELINE_HAS_CUDA
#include "backend/cuda/backend_cuda.h"
#endif
#include "backend/exact/backend_exact.h"
#ifdef PACELINE_HAS_METAL
#include "backend/metal/backend_metal.h"
#endif

/* A GPU that is emulated is never the first choice: it is there to be tested. Nor is the exact
 * backend: others are held against it. */
static const struct backend_ops *first_choice(void)
{
#if defined PACELINE_HAS_METAL && defined __APPLE__
    return &backend_metal;
#elif defined PACELINE_HAS_CUDA
    return backend_cuda_is_installed() ? &backend_cuda : &backend_cpu;
#else
    return &backend_cpu;
#endif
}

static const struct backend_ops *const backends[] = {
    &backend_cpu,
    &backend_exact,
#ifdef PACELINE_HAS_CUDA
    &backend_cuda,
#endif
#ifdef PACELINE_HAS_METAL
    &backend_metal,
    &backend_metal_tensors,
#endif
};

const struct backend_ops *backend_find(const char *name)
{
    if (!name || !strcmp(name, "auto")) return first_choice();
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
        if (!strcmp(name, backends[i]->name)) return backends[i];
    return NULL;
}

const char *backend_names(void)
{
    return "cpu, exact"
#ifdef PACELINE_HAS_CUDA
           ", cuda"
#endif
#ifdef PACELINE_HAS_METAL
           ", metal, metal-tensors"
#endif
        ;
}
