/* The types that keys and values of the KV pool may be stored in. */
#ifndef QUANT_KV_TYPE_H
#define QUANT_KV_TYPE_H

#include <stdbool.h>

enum kv_type {
    KV_F16,
    KV_BF16,
    KV_Q8_0,        /* 8-bit integers, one f16 scale for 32 values */
    KV_F8_E4M3,     /* 8-bit floats (OCP E4M3, largest 448), one f32 scale for a token and head */
    N_KV_TYPES,
};

/* Whether the bias of keys is kept out of the pages, and added back, turned, by attention: in every
 * type but f16, which is exact enough to keep it. The 8-bit types would spend their range on a
 * constant (Qwen2: one dimension in some is a hundred times the others). A norm after the bias
 * cannot be split off. */
static inline bool kv_keeps_bias_out(enum kv_type k, bool has_bias, bool has_norm)
{
    return has_bias && !has_norm && k != KV_F16;
}

/* Their names in this order, with `between` between them: KV_TYPE_NAMES(", "). */
#define KV_TYPE_NAMES(between) "f16" between "bf16" between "q8_0" between "f8_e4m3"

const char *kv_type_name(enum kv_type type);

/* NULL means f16. False: there is no such name. */
bool kv_type_find(const char *name, enum kv_type *out);

#endif
