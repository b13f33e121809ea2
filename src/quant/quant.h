/* GGUF tensor types: the layout of each block and what it means, in scalar C. This is the numeric
 * specification; every packed form and kernel is checked against it. No state, any thread. */
#ifndef QUANT_QUANT_H
#define QUANT_QUANT_H

#include <stddef.h>
#include <stdint.h>

/* Values are the type numbers of the GGUF format. X(name, number, weights and bytes a block) */
#define QUANT_TYPE_LIST(X)                                                                         \
    X(F32, 0, 1, 4)                                                                                \
    X(F16, 1, 1, 2)                                                                                \
    X(Q4_0, 2, 32, 18)                                                                             \
    X(Q4_1, 3, 32, 20)                                                                             \
    X(Q5_0, 6, 32, 22)                                                                             \
    X(Q5_1, 7, 32, 24)                                                                             \
    X(Q8_0, 8, 32, 34)                                                                             \
    X(Q2_K, 10, 256, 84)                                                                           \
    X(Q3_K, 11, 256, 110)                                                                          \
    X(Q4_K, 12, 256, 144)                                                                          \
    X(Q5_K, 13, 256, 176)                                                                          \
    X(Q6_K, 14, 256, 210)                                                                          \
    X(IQ4_NL, 20, 32, 18)                                                                          \
    X(IQ4_XS, 23, 256, 136)                                                                        \
    X(BF16, 30, 1, 2)                                                                              \
    X(MXFP4, 39, 32, 17)

enum quant_type {
#define X(name, number, n, bytes) QUANT_##name = number,
    QUANT_TYPE_LIST(X)
#undef X
};

enum { QUANT_TYPES_END = QUANT_MXFP4 + 1 };     /* numbers of types that are read lie below */

struct quant_traits {
    const char *name;       /* "Q4_K"; NULL: a type this project does not read */
    uint32_t block_weights;
    uint32_t block_bytes;
};

/* Traits of a type number of the format; an unknown one gives a NULL name, never a bad pointer. */
const struct quant_traits *quant_traits(uint32_t type);

/* The name of any type number, also of types that are not read; "unknown" beyond those. */
const char *quant_type_name(uint32_t type);

/* For a message about a type that is not read: of which type a file of the same model would be. */
const char *quant_instead_of(uint32_t type);

/* Bytes of a row of n weights; n is a multiple of the block. */
size_t quant_row_bytes(uint32_t type, size_t n);

/* Writes n weights (a multiple of the block) of a known type as floats. */
void quant_dequantise(uint32_t type, const void *blocks, float *out, size_t n);

/* ---- halves --------------------------------------------------------------------------------- */

float f32_of_f16(uint16_t h);
uint16_t f16_of_f32(float x);       /* round to nearest even; beyond 65504: infinity */
float f32_of_bf16(uint16_t h);

#endif
