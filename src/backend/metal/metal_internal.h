/* Inside the Metal backend: its state and what its files share.
 *
 * Buffers by column have rows of ld_* elements, whole tiles of TILE_ROWS, so that a product stores
 * whole tiles; and whole fragments of 8 columns plus MAX_FRAGMENTS - 1 fragments, so that it reads and
 * stores whole fragments. What lies beyond the step's columns is read and written, but no column ever
 * depends on it: a column of a matrix product is its own. */
#ifndef BACKEND_METAL_METAL_INTERNAL_H
#define BACKEND_METAL_METAL_INTERNAL_H

#include "backend/backend.h"
#include "backend/metal/device.h"
#include "backend/metal/fragment.h"
#include "backend/metal/op_args.h"

struct matrix {
    enum fragment_format format;
    uint32_t n_rows, n_k, n_tiles, n_chunks, tile_bytes;
    struct metal_buffer tiles;
};

struct vector {
    struct metal_buffer values;     /* (n) f32 */
    uint32_t n;
};

struct rope {
    struct metal_buffer cos_sin;    /* (n_positions, d_head / 2, 2) f32 */
    uint32_t n_positions;
    bool interleaved;
};

/* KV of one page, one layer and one KV head: K's scales, K's codes, V's scales, V's codes, each
 * starting at a multiple of 16 bytes.
 *     K codes  [d_head][16 tokens]        V codes  [16 tokens][d_head]
 *     scales   q8_0: [d_head / 32][16 tokens] f16; f8_e4m3: [16 tokens] f32; none else
 * A value is its code times its scale, bounded to +-65504 with NaN as 0 before it is written. */
struct metal_kv {
    enum kv_type k_type, v_type;
    uint32_t v_at;                  /* bytes from K's scales to V's */
    uint32_t head_bytes;            /* of both */
    uint64_t page_bytes;            /* n_layers * n_kv_heads * head_bytes */
};

struct metal_attention;             /* attention.h: its work list, partial results and kernels */
struct metal_experts;               /* experts.h: NULL where the model has none */

struct metal_backend {
    struct backend base;
    struct backend_params params;
    struct metal_device *device;
    struct fragment_layout layout;  /* which elements of a fragment a lane holds, as probed */
    struct metal_buffer lane_row;   /* (32) uint8: row of a lane's two elements */

    struct metal_kv kv_layout;
    struct metal_buffer kv;         /* (n_pages, n_layers, n_kv_heads) of head_bytes */

    uint32_t n_col_rows;            /* rows of the buffers by column, see above */
    uint32_t ld_model, ld_q, ld_kv, ld_ff, ld_vocab;
    struct metal_buffer x, y;       /* (n_col_rows, ld_model) f32; y: before a post norm */
    struct metal_buffer h;          /* (n_col_rows, ld_model) f16 */
    struct metal_buffer q, k, v;    /* (n_col_rows, ld_q) and (n_col_rows, ld_kv) f32 */
    struct metal_buffer q_half;     /* (n_col_rows, ld_q) f16: queries as attention reads them */
    struct metal_buffer att;        /* (n_col_rows, ld_q) f16 */
    struct metal_buffer gate;       /* (n_col_rows, ld_ff) f32: of gates whose ups are of another format */
    struct metal_buffer act;        /* (n_col_rows, ld_ff) f16, scaled by ACT_SCALE */
    struct metal_buffer head_in;    /* (max_outs in whole fragments, ld_model) f16 */
    struct metal_buffer logit_rows; /* (max_outs in whole fragments, ld_vocab) f32 */
    struct metal_buffer largest;    /* (max_outs, n_logit_blocks) f32 */
    uint32_t n_logit_blocks;

    struct metal_attention *attention;
    struct metal_experts *experts;

    struct batch batch;
    /* What the kernels read of the batch, copied by begin. */
    struct metal_buffer token;      /* (max_cols) */
    struct metal_buffer pos;        /* (max_cols) */
    struct metal_buffer col_page;   /* (max_cols) page that the column's token goes to */
    struct metal_buffer out_col;    /* (max_cols) */
};

/* ACT is kept times this, so that the largest activations of any known model fit a half: what the
 * following product multiplies its sums by is the inverse. */
#define ACT_SCALE (1.0f / 32.0f)

/* The dispatch of kernel `p` with `n` buffers bound in order. */
void metal_record(struct metal_backend *b, const struct metal_dispatch *d);

/* out = in * matrix for n_cols columns from first_col on, by the epilogue asked for. */
struct product {
    const struct matrix *matrix, *gate;     /* gate: for EPILOGUE_GATED */
    const struct metal_buffer *in, *out, *gate_rows;
    uint32_t ld_in, ld_out, n_cols;
    uint32_t epilogue, activation;
};
void metal_product(struct metal_backend *b, const struct product *p);

#endif
