/* What the Metal kernels execute (metal_costs.def). No state, any thread. */
#ifndef ESTIMATE_METAL_COSTS_H
#define ESTIMATE_METAL_COSTS_H

#include <stdbool.h>
#include <stdint.h>

#include "quant/kv_type.h"

enum {
#define METAL_FORMAT(name, tile, load, bits)
#define METAL_KV(name, stage)
#define METAL_COUNT(name, value) METAL_##name = value,
#include "estimate/metal_costs.def"
#undef METAL_FORMAT
#undef METAL_KV
#undef METAL_COUNT
};

struct metal_cost {
    int tile, load;
    double bits;
};

/* Of a type (quant/quant.h): those without a format of their own are packed as another. */
const struct metal_cost *metal_cost_of(uint32_t type);

int metal_stage_of(enum kv_type type);

#endif
