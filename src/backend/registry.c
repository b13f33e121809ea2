/* The backends of this build. */
#include <string.h>

#include "backend/backend.h"
#include "backend/cpu/backend_cpu.h"

const struct backend_ops *backend_find(const char *name)
{
    if (!strcmp(name, "auto") || !strcmp(name, backend_cpu.name)) return &backend_cpu;
    return NULL;
}
