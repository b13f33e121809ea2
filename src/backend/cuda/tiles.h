/* How weights lie in the GPU's memory, and the columns that meet them: in the order of the tensor
 * cores' fragments. Read by C and by CUDA.
 *
 * A tile is 16 rows x 256 weights. Tiles of a matrix are stored
 *     [n_rows / 64][k / 256][4 tiles]
 * rows and k filled up with zeros, so that a block of any multiple of 64 rows streams runs of four
 * tiles. Lane l of a warp owns rows g = l / 4 and g + 8 and, in step s (16 wide, 4 a chunk) of
 * chunk c (64 wide, 4 a tile), the k indices
 *     64 c + 32 h + 8 s + 4 r + t,    t = l % 4, r = 0, 1, h = 0, 1.
 * h is the half of a 32-bit register: its two f16 always belong to two sub-blocks of one row, so
 * that a pair of their scales is used as it is, without a broadcast.
 *
 * q4_k  [4 c][32 l] 16 B: words {row g: 0, 1; row g + 8: 0, 1}; word i, field f: s = 2 i + f / 2,
 *                         r = f % 2; the four fields of each 16-bit half lie at bits 6-9, 2-5,
 *                         10-13 and {14, 15, 0, 1}: bits 6-9 are the top of an f16 mantissa
 *       [8 g] 32 B:       two vectors of 4 words, one for each 128 k; words 0-2 hold eight 6-bit
 *                         fields (scale and min, rows g and g + 8, chunks 2 v and 2 v + 1) for
 *                         h = 0 and 1 in their halves; word 3 is f16 {16 d} or {-dmin}, (g, g + 8)
 * q6_k  [4 c][32 l] 16 B: low nibbles, fields at bits 4-7, 0-3, 8-11, 12-15
 *       [4 c][32 l]  8 B: high bits, word = row g or g + 8, field 4 i + f at bits 2 (4 i + f)
 *       [4 c][8 g]   8 B: scales + 128, row g then g + 8: sub-blocks 0, 2, 1, 3 of the chunk
 *       [8 g]        4 B: f16 {64 d}, (g, g + 8)
 * q8    [4 c][2][32 l] 16 B: of row g, then of row g + 8: word s, byte 2 r + h is the weight's
 *                         code + 128
 *       [4 c][8 g]   8 B: f16 scales of row g, then of row g + 8, h = 0, 1
 * f16   [16 steps][32 l] 16 B: f16 pairs of {row g, r 0; row g + 8, r 0; row g, r 1; row g + 8,
 *                         r 1}, h = 0, 1
 *
 * Columns, as products read them: f16, blocks of 64 columns, each
 *     [k / 256][16 steps][n / 8][2 r][8 n][8 spots]
 * where spot 2 t + h of step 4 c + s is the k index above, and n is the block's columns in whole
 * eights (above 32: 64). Each 128 bytes are a matrix of 8 x 8 as wgmma reads them. */
#ifndef BACKEND_CUDA_TILES_H
#define BACKEND_CUDA_TILES_H

#include <stdint.h>

enum tile_format { TILE_Q4_K, TILE_Q6_K, TILE_Q8, TILE_F16, N_TILE_FORMATS };

enum {
    TILE_ROWS = 16, TILE_K = 256,
    TILE_GROUP = 4,                 /* tiles of neighbouring rows that lie together */
    BLOCK_COLS = 64,                /* columns that are laid out together */
    Q4_SCALES_AT = 2048, Q6_HIGH_AT = 2048, Q6_SCALES_AT = 3072, Q6_D_AT = 3328,
    Q8_SCALES_AT = 4096,
    Q4_BYTES = 2304, Q6_BYTES = 3360, Q8_BYTES = 4352, F16_BYTES = 8192,
};

#ifdef __CUDACC__
#define TILES_INLINE __host__ __device__ static constexpr inline
#else
#define TILES_INLINE static inline
#endif

TILES_INLINE uint32_t tile_bytes(int format)
{
    return format == TILE_Q4_K ? Q4_BYTES : format == TILE_Q6_K ? Q6_BYTES
         : format == TILE_Q8   ? Q8_BYTES : F16_BYTES;
}

/* Place among the 256 weights of a tile's row that spot p of step s of chunk c has. */
TILES_INLINE uint32_t tile_spot_k(uint32_t c, uint32_t s, uint32_t p)
{
    return 64 * c + 32 * (p & 1) + 8 * s + (p >> 1);
}

/* Columns of a block in eights, as products multiply them. */
TILES_INLINE uint32_t block_eights(uint32_t n_cols)
{
    return n_cols > 32 ? 8 : (n_cols + 7) / 8;
}

TILES_INLINE uint32_t whole(uint32_t n, uint32_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* Where element k of column col lies, in halves, of n_cols columns of ld_k, whole tiles. */
TILES_INLINE uint64_t column_place(uint32_t ld_k, uint32_t n_cols, uint32_t col, uint32_t k)
{
    const uint32_t block = col / BLOCK_COLS, n = col % BLOCK_COLS;
    const uint32_t n_left = n_cols - block * BLOCK_COLS;
    const uint32_t eights = block_eights(n_left < BLOCK_COLS ? n_left : BLOCK_COLS);
    const uint32_t in = k % 64, step = k / 64 * 4 + in % 32 / 8, r = in % 8 / 4;
    return (uint64_t)block * BLOCK_COLS * ld_k + ((uint64_t)step * eights + n / 8) * 128 + r * 64 +
           n % 8 * 8 + in % 4 * 2 + in / 32;
}

#endif
