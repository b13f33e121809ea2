/* Names of tensor types beyond those that are read, for messages: of the format as ggml numbers it,
 * types that it has removed among them, and of ik_llama.cpp, whose own start at 133. */
#include <stddef.h>

#include "quant/quant.h"

static const struct {
    uint32_t number;
    const char *name;
} others[] = {
    { 4, "Q4_2" },           { 5, "Q4_3" },           { 9, "Q8_1" },          { 15, "Q8_K" },
    { 16, "IQ2_XXS" },       { 17, "IQ2_XS" },        { 18, "IQ3_XXS" },      { 19, "IQ1_S" },
    { 21, "IQ3_S" },         { 22, "IQ2_S" },         { 24, "I8" },           { 25, "I16" },
    { 26, "I32" },           { 27, "I64" },           { 28, "F64" },          { 29, "IQ1_M" },
    { 31, "Q4_0_4_4" },      { 32, "Q4_0_4_8" },      { 33, "Q4_0_8_8" },     { 34, "TQ1_0" },
    { 35, "TQ2_0" },         { 36, "IQ4_NL_4_4" },    { 37, "IQ4_NL_4_8" },   { 38, "IQ4_NL_8_8" },
    { 40, "NVFP4" },         { 41, "Q1_0" },          { 42, "Q2_0" },
    { 133, "Q6_0" },         { 134, "IQ1_BN" },       { 135, "IQ2_BN" },      { 136, "Q8_K64" },
    { 137, "IQ2_K" },        { 138, "IQ3_K" },        { 139, "IQ4_K" },       { 140, "IQ5_K" },
    { 141, "IQ6_K" },        { 144, "IQ4_KS" },       { 145, "IQ2_KS" },      { 146, "IQ4_KSS" },
    { 152, "IQ5_KS" },       { 153, "IQ2_KT" },       { 154, "IQ3_KT" },      { 155, "IQ4_KT" },
};

const char *quant_type_name(uint32_t type)
{
    const char *name = quant_traits(type)->name;
    for (size_t i = 0; !name && i < sizeof others / sizeof *others; i++)
        if (others[i].number == type) name = others[i].name;
    return name ? name : "unknown";
}

const char *quant_instead_of(uint32_t type)
{
    switch (type) {
    case 31: case 32: case 33: return "Q4_0";   /* the same weights in another order */
    case 36: case 37: case 38: return "IQ4_NL";
    case 24: case 25: case 26: case 27: case 28: return "F16 or Q8_0";
    default: return "Q4_K_M or Q8_0";
    }
}
