/* Weights in the order in which a simdgroup's lanes hold the fragments of a matrix product.
 *
 * A fragment is 8 rows x 8 k; a lane holds two elements of one row. A tile is 32 rows (four row tiles
 * of 8) and all k, in chunks of 32 k: eight weights a lane and row tile. Chunks lie one after another,
 *
 *     chunk    [super-block's header, before the first chunk of each 256, of K-quants]
 *              scales   [8 rows of a row tile][4 row tiles] of the format's scale
 *              quanta   [32 lanes][4 row tiles] words: see fragment_pack
 *
 * so a lane reads its four row tiles' quanta, and their scales, in one load each.
 *
 *     format      scale of 32 k          header of 256 k      quanta of a lane, by row tile
 *     F16         none                   none                 4 words: halves
 *     Q8_0        d f16                  none                 2 words: q + 128
 *     Q4_0 IQ4_NL d f16                  none                 1 word
 *     Q4_1        d, m f16               none                 1 word
 *     Q5_0        d f16                  none                 1 word; one word of fifth bits for all
 *     Q5_1        d, m f16               none                 likewise
 *     Q4_K        scale, min u8          d, dmin f16          1 word
 *     Q5_K        scale, min u8          d, dmin f16          as Q5_0
 *     Q6_K        two scales i8          d f16, and 2 unused  1 word; two words of high bits for all
 *     IQ4_XS      scale i8, 1 unused     d f16, and 2 unused  1 word
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
    N_FRAGMENT_FORMATS,
};

/* Row and k (0..7) of a lane's two elements of a fragment. */
struct fragment_layout {
    uint8_t row[32], k[32][2];
};

/* The layout that Apple's GPUs up to the M4 have; what a probe finds is what counts. */
extern const struct fragment_layout fragment_layout_apple;

/* Whether a layout as probed can be packed for: each of the 64 elements in exactly one place. */
bool fragment_layout_is_sound(const struct fragment_layout *layout);

/* The format of a GGUF type, or -1: rows of n_k weights of it cannot be packed. */
int fragment_format_of(uint32_t quant_type, uint32_t n_k);

/* "q4_k": as kernel names end */
const char *fragment_format_name(enum fragment_format format);

/* Bytes of a tile of 32 rows: a multiple of 16. */
size_t fragment_tile_bytes(enum fragment_format format, uint32_t n_k);

/* Packs up to 32 rows; those that do not exist are zeros. rows: as the file has them. */
void fragment_pack(enum fragment_format format, const struct fragment_layout *layout, uint8_t *tile,
                   uint32_t quant_type, const void *rows, uint32_t n_rows, uint32_t n_k);

#endif
