/* The CPU backend: see backend/backend.h for the contract and kernels.h for how it is built up. */
#ifndef BACKEND_CPU_BACKEND_CPU_H
#define BACKEND_CPU_BACKEND_CPU_H

#include "backend/backend.h"

extern const struct backend_ops backend_cpu;

#endif
