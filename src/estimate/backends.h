/* What an estimate needs to know of each backend: whether this version has it, and the bytes that
 * weights take once it has packed them. Of a backend that this version does not have, what an
 * engine of that kind does at its best: weights as the file has them, no column padded.
 *
 * The figures repeat what the backends themselves do; tests hold them to that
 * (tests/kernels/test_estimate_backends.c). No state, any thread. */
#ifndef ESTIMATE_BACKENDS_H
#define ESTIMATE_BACKENDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ESTIMATE_CPU_MATRIX: the CPU backend where it has a matrix unit to use. */
enum estimate_backend { ESTIMATE_CPU, ESTIMATE_METAL, ESTIMATE_METAL_TENSORS, ESTIMATE_CUDA,
                        ESTIMATE_ROCM, ESTIMATE_CPU_MATRIX };

struct estimate_backend_traits {
    const char *name;           /* as --backend has it */
    bool is_there;              /* this version has it */
    bool is_default;            /* --backend auto may choose it */
    uint32_t chunk_pages;       /* KV pages that its attention reads together */
    const char *caveat;         /* what must stand beside its figures; NULL: nothing */
};

const struct estimate_backend_traits *estimate_backend_traits(enum estimate_backend backend);

/* The backend that a name of pl_params.backend means; ESTIMATE_CPU: any other. */
enum estimate_backend estimate_backend_of(const char *name);

bool estimate_backend_is_metal(enum estimate_backend backend);
bool estimate_backend_is_cpu(enum estimate_backend backend);

/* Bytes of a weight of a type (quant/quant.h) as the backend keeps it. */
double estimate_bytes_a_weight(enum estimate_backend backend, uint32_t type);

#endif
