#include "quant/kv_type.h"

#include <string.h>

#define COMMA ,
static const char *const names[N_KV_TYPES] = { KV_TYPE_NAMES(COMMA) };

const char *kv_type_name(enum kv_type type)
{
    return names[type];
}

bool kv_type_find(const char *name, enum kv_type *out)
{
    *out = KV_F16;
    if (!name) return true;
    for (int i = 0; i < N_KV_TYPES; i++)
        if (!strcmp(name, names[i])) {
            *out = (enum kv_type)i;
            return true;
        }
    return false;
}
