/* The Metal backend. Threads: as backend.h says. */
#ifndef BACKEND_METAL_BACKEND_METAL_H
#define BACKEND_METAL_BACKEND_METAL_H

#include "backend/backend.h"

extern const struct backend_ops backend_metal;

/* "metal-tensors": the same with products by the tensor operations of Metal 4, which the M5 has.
 * Never the first choice until somebody has run it. */
extern const struct backend_ops backend_metal_tensors;

#endif
