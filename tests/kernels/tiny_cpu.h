/* The small random model of tiny_backend.h on the CPU backend. */
#ifndef TESTS_KERNELS_TINY_CPU_H
#define TESTS_KERNELS_TINY_CPU_H

#include "tiny_backend.h"

#include "backend/cpu/cpu_internal.h"

static inline void tiny_fill_cpu_kv(struct backend *base, int byte)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    memset(b->kv, byte, b->places.n_bytes);
}

static inline struct tiny *tiny_on_cpu(const struct tiny_shape *shape)
{
    return tiny_make(shape, &backend_cpu, tiny_fill_cpu_kv);
}

#endif
