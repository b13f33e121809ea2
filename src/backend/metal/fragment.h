/* Weights in the order in which a simdgroup's lanes hold the fragments of a matrix product.
 *
 * A fragment is 8 rows x 8 k; a lane holds two elements of one row. A tile is 32 rows (four row
 * tiles of 8) and all k, in chunks of 32 k: eight weights a lane and row tile. Chunks lie one after
 * another,
 *
 *     chunk    head     [8 rows of a row tile][4 row tiles], before the first chunk of each 256 k
 *              scales   [8 rows of a row tile][4 row tiles]
 *              quanta   [words][32 lanes][4 row tiles], then [more words][32 lanes] for all
 *
 * so that a lane reads the same field of its four row tiles in one load, and a simdgroup reads a
 * chunk as one run of bytes. Words are of 32 bits; the lower half is the lane's first element's. f
 * is the fragment (0..3) of the chunk, r the row tile, q the quantum of the scalar definition.
 *
 *     format       head (f16)   scales of 32 k      words: where element bits stand in each half
 *     F16          -            -                   4, one a fragment: the half itself
 *     Q8_0         -            d f16               2: q + 128 at 8 (f % 2) of word f / 2
 *     Q4_0 IQ4_NL  -            d f16               1: q at 4 f
 *     MXFP4        -            exponent field u8   1: likewise
 *     Q4_1         -            d, m f16            1: likewise
 *     Q5_0         -            d f16               1, and 1 more: fifth bit at 4 f + r
 *     Q5_1         -            d, m f16            likewise
 *     Q4_K         d, dmin      scale, min u8       1
 *     Q5_K         d, dmin      scale, min u8       1, and 1 more as Q5_0
 *     Q6_K         d            two scales i8       1, and 2 more: bits at 4 f + 2 (r % 2) of r / 2
 *     IQ4_XS       d            scale i8            1
 *
 * No state, any thread. */
#ifndef BACKEND_METAL_FRAGMENT_H
#define BACKEND_METAL_FRAGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fragment_format {
    FRAGMENT_F16,       /* F32, F16, BF16, Q2_K: bounded to what a half holds */
    FRAGMENT_Q8_0,
    FRAGMENT_Q4_0,
    FRAGMENT_Q4_1,
    FRAGMENT_Q5_0,
    FRAGMENT_Q5_1,
    FRAGMENT_Q4_K,
    FRAGMENT_Q5_K,
    FRAGMENT_Q6_K,      /* Q3_K too, exactly */
    FRAGMENT_IQ4_NL,
    FRAGMENT_IQ4_XS,
    FRAGMENT_MXFP4,
    N_FRAGMENT_FORMATS,
};

/* Row and k (0..7) of a lane's two elements of a fragment. */
struct fragment_layout {
    uint8_t row[32], k[32][2];
};

/* The layout that Apple's GPUs up to the M4 have; what a probe finds is what counts. */
extern const struct fragment_layout fragment_layout_apple;

/* Whether a layout as probed can be packed for: each of the 64 elements in exactly one place, and a
 * lane's two side by side, the first at an even k. */
bool fragment_layout_is_sound(const struct fragment_layout *layout);

/* Where column col's value k is among the halves that a product reads, as the kernels' half_at:
 * columns of ld values, a multiple of 32, in eights. */
size_t fragment_half_at(uint32_t col, uint32_t k, uint32_t ld);

/* The format of a GGUF type, or -1: rows of n_k weights of it cannot be packed. */
int fragment_format_of(uint32_t quant_type, uint32_t n_k);

/* "q4_k": as kernel names end */
const char *fragment_format_name(enum fragment_format format);

/* Raise this with every change of what fragment_pack writes for the same input: packed weights that
 * are kept on disk (pack/pack_file.h) are known by it. test_weights_on_disk.c notices when it was
 * forgotten. */
enum { FRAGMENT_PACK_VERSION = 2 };

/* Bytes of a tile of 32 rows: a multiple of 16. */
size_t fragment_tile_bytes(enum fragment_format format, uint32_t n_k);

/* Packs up to 32 rows; those that do not exist are zeros. rows: as the file has them. */
void fragment_pack(enum fragment_format format, const struct fragment_layout *layout, uint8_t *tile,
                   uint32_t quant_type, const void *rows, uint32_t n_rows, uint32_t n_k);

#endif
