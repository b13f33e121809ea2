/* The Metal backend. Threads: as backend.h says. */
#ifndef BACKEND_METAL_BACKEND_METAL_H
#define BACKEND_METAL_BACKEND_METAL_H

#include "backend/backend.h"

extern const struct backend_ops backend_metal;

#endif
