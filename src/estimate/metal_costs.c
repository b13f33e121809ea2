#include "estimate/metal_costs.h"

#include "quant/quant.h"

const struct metal_cost *metal_cost_of(uint32_t type)
{
    static const struct metal_cost costs[] = {
#define METAL_FORMAT(name, tile, load, bits) [QUANT_##name] = { tile, load, bits },
#define METAL_KV(name, stage)
#define METAL_COUNT(name, value)
#include "estimate/metal_costs.def"
#undef METAL_FORMAT
#undef METAL_KV
#undef METAL_COUNT
    };
    if (type == QUANT_Q3_K) return &costs[QUANT_Q6_K];
    const bool is_known = type < sizeof costs / sizeof *costs && costs[type].bits > 0;
    return &costs[is_known ? type : QUANT_F16];
}

int metal_stage_of(enum kv_type type)
{
    static const int stages[N_KV_TYPES] = {
#define METAL_FORMAT(name, tile, load, bits)
#define METAL_KV(name, stage) [KV_##name] = stage,
#define METAL_COUNT(name, value)
#include "estimate/metal_costs.def"
#undef METAL_FORMAT
#undef METAL_KV
#undef METAL_COUNT
    };
    return stages[type];
}
