/* Arguments of the kernels, as the host fills and the shaders read them: 32-bit fields alone, so
 * that both compilers lay them out alike. Columns are the step's tokens; ld_* count elements
 * from one column to the next. */
#ifndef BACKEND_METAL_OP_ARGS_H
#define BACKEND_METAL_OP_ARGS_H

#include "backend/kernel_words.h"
#include "backend/row_pick_args.h"

enum {
    TILE_ROWS = 32,         /* of a packed weight: four fragments of 8 rows */
    CHUNK = 32,             /* weights of a row that a lane group unpacks at once */
    MAX_FRAGMENTS = 8,      /* of 8 columns, that one product holds */
    FEW_COLUMNS = 4,        /* up to so many do without the matrix unit */
    PRODUCT_SIMDGROUPS = 4, /* share a tile's chunks: chunk c is simdgroup c % 4's */
    TENSOR_COLUMNS = 32,    /* of a product by tensor operations */
    NORM_THREADS = 128,     /* of a column's norm */
    KV_UNIT = 32,           /* bytes of which all that lies in pages is a multiple */
    SPLIT = 128, /* positions of a part of attention's sum: a multiple of the page's 16 */
};

/* What a product does with its sums. */
enum { EPILOGUE_STORE, EPILOGUE_ADD, EPILOGUE_GATED, EPILOGUE_TIMES_GATE };

struct product_args {
    U32 n_tiles, n_chunks, tile_bytes;
    U32 first_col;          /* of the columns of this dispatch */
    U32 ld_x, ld_out, ld_gate;
    U32 epilogue, activation;   /* EPILOGUE_*; enum activation, for the gated ones */
    F32 scale;              /* of the sums: the inverse of what the columns are scaled by */
};

struct embed_args {
    U32 n_chunks, tile_bytes, ld_x;
    F32 scale;
};

/* By column: norm, add_norm, norm_rows, add_bias. */
struct row_args {
    U32 n, ld_in, ld_out;
    U32 has_norm;           /* norm: 0, a column stays as it is */
    F32 eps, scale;         /* scale: of what is added */
    U32 is_centred;         /* of the norm: the mean is taken off before */
    F32 x_scale;            /* add_norm: the sum is multiplied by this; 0: it stays */
};

/* What every layer gets of a token: rows of n_parts of d_input each. */
struct input_args {
    U32 d_input, ld_in;
    F32 eps, scale;         /* of the norm; of all in the end */
};

/* Residuals side by side: element d of column c of track k is at (k * n_rows + c) * ld + d. */
struct track_args {
    U32 n, ld, n_tracks, n_rows;
    U32 track;              /* of copies and sums; 0: none of a layer's */
    U32 adds, to_x;         /* match_track: to X, on top of it; copy_track: to X */
    F32 eps, scale;         /* of the router's norm; of what is written */
};

/* Gates of a column, cut at their mean and some deviations. */
struct cut_args {
    U32 n, ld;
    F32 cut;
};

/* ACT = activation(gate) * in, the activations scaled. */
struct gate_args {
    U32 n, ld_gate, ld_in, first;   /* first: of the layer's part of a row of IN */
    U32 activation;
    F32 scale;
};

/* By row of logits, which are capped before: cap * tanh(logit / cap); 0: they are not. */
struct largest_args {
    U32 n_tokens, ld_vocab, n_blocks;
    F32 cap;
};

/* After the products of Q, K or V: biases, head norms, RoPE, and where they go. */
struct heads_args {
    U32 d_head, ld;
    U32 n_rot;              /* dimensions that turn */
    U32 flags;              /* HEADS_* */
    F32 scale, eps;         /* scale: of queries */
    U32 kv_type, part_at;   /* METAL_KV_*; bytes from a page head's start to its K or V */
    U32 page_units;         /* of a page, of KV_UNIT bytes */
    U32 first_unit, head_bytes; /* where the layer's part of page 0 begins; bytes of a head */
};

enum {
    HEADS_BIAS = 1,
    HEADS_NORM = 2,
    HEADS_INTERLEAVED = 4,
    HEADS_ARE_VALUES = 8,
    HEADS_SCALES = 16,
    HEADS_CENTRED = 32,
    HEADS_NORMED_LATER = 64     /* after they are turned */
};

/* Attention: rows that look at the same pages, over some splits of them. */
struct attend_item {
    U32 first_row, n_rows;      /* of the list's rows */
    U32 first_split, n_splits;
    U32 page_at;                /* of the list of pages: position 0 .. 15's */
    U32 n_positions;            /* that are written: one more than the highest of the rows */
    U32 partial;                /* where its first row's partial result goes, or NO_PARTIAL */
};

/* A column's query head, by its place in the group of its KV head; sees first_pos .. pos. */
struct attend_row {
    U32 col, head, first_pos, pos;
};

/* A row whose partial results are places [first_place, first_place + n_places) of the list. */
struct combine_row {
    U32 col, head, first_place, n_places;
};

enum { ATTEND_ROWS = 8, MAX_ROW_TILES = 2, NO_PARTIAL = 0x7fffffff };

struct attend_args {
    U32 d_head, group, n_kv_heads, ld_q;    /* group: query heads of a KV head */
    U32 page_units, first_unit, head_bytes, v_at;   /* as of heads_args */
    U32 has_bias, is_interleaved, n_rot, has_sinks;
    F32 score_cap;          /* in units of log 2, as scores are; 0: none */
};

/* A mixture of experts: a column and one of its experts are a pair. */
struct route_args {
    U32 d_model, ld_model, n_experts, n_used, n_cols;
    U32 has_norm, is_normalised, has_shared, has_shared_router, has_router_bias, has_down_bias;
    U32 has_choice_bias, is_sigmoid, n_groups, n_groups_used;
    F32 scale, residual_scale; /* of the weights of the experts chosen; of all that is added to X */
    U32 n_blocks, block_pairs;  /* blocks of pairs at most, and pairs of one */
    F32 eps;
    U32 is_centred;
    U32 has_scales;             /* experts' weights have scales of their own */
    U32 is_apart;               /* the sum goes to Y, not on top of X */
    U32 ranks_by_best;          /* groups: by their highest alone */
};

/* Pairs of one expert, in rows block_pairs * index .. of what the products read and write. */
struct expert_block {
    U32 expert, n_pairs;        /* 0: there is no such block */
};

struct expert_args {
    struct product_args product;    /* n_tiles: of one expert */
    U32 block_pairs;
    U32 n_few;                  /* blocks of up to so many pairs do without the matrix unit */
};

/* Gates and ups of pairs, as rows of floats. */
struct pair_args {
    U32 d_expert, block_pairs;
    U32 has_gate_bias, has_up_bias, activation;
    F32 scale;                  /* of the activations */
};

enum { ROUTE_COLUMNS = 4, ROUTE_EXPERTS = 4, MAX_EXPERTS = 1024 };

struct sampling_args {
    U32 n_vocab, ld_vocab, n_blocks;
    U32 max_touched;        /* of a row */
};

struct rate_args {
    U32 n;
};

/* As enum kv_type. */
enum { METAL_KV_F16, METAL_KV_BF16, METAL_KV_Q8_0, METAL_KV_F8_E4M3 };

#endif
