#include "estimate/backends.h"

#include <string.h>

#include "estimate/metal_costs.h"
#include "quant/quant.h"

const struct estimate_backend_traits *estimate_backend_traits(enum estimate_backend backend)
{
    static const struct estimate_backend_traits traits[] = {
        [ESTIMATE_CPU] = { "cpu", true, true, 2, NULL },
        [ESTIMATE_METAL] = { "metal", true, true, 8, "not yet run on a Mac" },
        [ESTIMATE_METAL_TENSORS] = { "metal-tensors", true, false, 8,
                                     "not yet run on a Mac, and never chosen by itself: "
                                     "--backend metal-tensors" },
        [ESTIMATE_CUDA] = { "cuda", false, false, 1,
                            "an engine's best; this version's CUDA backend runs on Hopper alone, "
                            "at some 40 % of it" },
        [ESTIMATE_ROCM] = { "rocm", false, false, 1,
                             "this version has no backend for AMD's GPUs" },
        [ESTIMATE_CPU_MATRIX] = { "cpu", true, true, 2, NULL },
    };
    return &traits[backend];
}

enum estimate_backend estimate_backend_of(const char *name)
{
    for (int i = ESTIMATE_METAL; i <= ESTIMATE_ROCM; i++)
        if (!strcmp(name, estimate_backend_traits((enum estimate_backend)i)->name))
            return (enum estimate_backend)i;
    return ESTIMATE_CPU;
}

bool estimate_backend_is_metal(enum estimate_backend backend)
{
    return backend == ESTIMATE_METAL || backend == ESTIMATE_METAL_TENSORS;
}

bool estimate_backend_is_cpu(enum estimate_backend backend)
{
    return backend == ESTIMATE_CPU || backend == ESTIMATE_CPU_MATRIX;
}

/* Panels of 16 rows and 256 weights of each: the scales of K-quants are unpacked beside the blocks.
 * Types without a panel of their own go into a wider one. */
static double panel_bytes(uint32_t type)
{
    switch (type) {
    case QUANT_Q4_K: return 2368 / (16 * 256.0);
    case QUANT_Q5_K: return 2880 / (16 * 256.0);
    case QUANT_Q3_K:
    case QUANT_Q6_K: return 3456 / (16 * 256.0);
    case QUANT_Q4_0:
    case QUANT_IQ4_NL:
    case QUANT_IQ4_XS: return 18 / 32.0;
    case QUANT_MXFP4: return 17 / 32.0;
    case QUANT_Q4_1: return 20 / 32.0;
    case QUANT_Q5_0: return 22 / 32.0;
    case QUANT_Q5_1: return 24 / 32.0;
    case QUANT_F16:
    case QUANT_BF16: return 2;
    case QUANT_F32: return 4;
    default: return 34 / 32.0;
    }
}

double estimate_bytes_a_weight(enum estimate_backend backend, uint32_t type)
{
    const struct quant_traits *t = quant_traits(type);
    if (estimate_backend_is_cpu(backend)) return panel_bytes(type);
    if (estimate_backend_is_metal(backend)) return metal_cost_of(type)->bits / 8;
    return (double)t->block_bytes / t->block_weights;
}
