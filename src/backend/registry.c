/* The backends of this build. */
#include <string.h>

#include "backend/backend.h"
#include "backend/cpu/backend_cpu.h"
#include "backend/exact/backend_exact.h"
#ifdef PACELINE_HAS_METAL
#include "backend/metal/backend_metal.h"
#endif

/* A GPU that is emulated is never the first choice: it is there to be tested. Nor is the exact
 * backend: others are held against it. */
#if defined PACELINE_HAS_METAL && defined __APPLE__
#define FIRST_CHOICE &backend_metal
#else
#define FIRST_CHOICE &backend_cpu
#endif

static const struct backend_ops *const backends[] = {
    &backend_cpu,
    &backend_exact,
#ifdef PACELINE_HAS_METAL
    &backend_metal,
    &backend_metal_tensors,
#endif
};

const struct backend_ops *backend_find(const char *name)
{
    if (!name || !strcmp(name, "auto")) return FIRST_CHOICE;
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
        if (!strcmp(name, backends[i]->name)) return backends[i];
    return NULL;
}

const char *backend_names(void)
{
#ifdef PACELINE_HAS_METAL
    return "cpu, exact, metal, metal-tensors";
#else
    return "cpu, exact";
#endif
}
