/* Weights of a model file into tiles (tiles.h). No state, any thread. */
#ifndef BACKEND_CUDA_PACK_H
#define BACKEND_CUDA_PACK_H

#include <stddef.h>

#include "backend/cuda/tiles.h"

/* The tiles that weights of a type go to: those of Q4_K, Q6_K and Q8_0 are kept as they are, and so
 * are those of Q3_K, Q4_0, Q5_0 and IQ4_NL, whose codes and scales fit wider ones. All others
 * become halves: within 2^-11 of a weight. -1: rows of n_k weights of the type cannot be packed. */
int tile_format_of(uint32_t type, uint32_t n_k);

/* Bytes of a matrix in tiles of a block of block_rows rows. */
uint64_t tile_matrix_bytes(enum tile_format format, uint32_t n_rows, uint32_t n_k,
                           uint32_t block_rows);

/* Packs up to 64 rows, a group of tiles of each 256 weights: to = [k / 256][4 tiles]. n_rows below
 * 64: zeros follow. row_bytes: from a row of the file to the next. */
void tile_pack_group(enum tile_format format, uint8_t *to, uint32_t type, const uint8_t *rows,
                     size_t row_bytes, uint32_t n_rows, uint32_t n_k);

#endif
