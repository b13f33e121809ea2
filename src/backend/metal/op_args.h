/* Arguments of the kernels, as the host fills and the shaders read them: 32-bit fields alone, so
 * that both compilers lay them out alike. Columns are the step's tokens; ld_* count elements
 * from one column to the next. */
#ifndef BACKEND_METAL_OP_ARGS_H
#define BACKEND_METAL_OP_ARGS_H

#ifdef __METAL_VERSION__
#include <metal_stdlib>
#define U32 uint
#define I32 int
#define F32 float
#else
#include <stdint.h>
#define U32 uint32_t
#define I32 int32_t
#define F32 float
#endif

enum {
    TILE_ROWS = 32,         /* of a packed weight: four fragments of 8 rows */
    CHUNK = 32,             /* weights of a row that a lane group unpacks at once */
    MAX_FRAGMENTS = 8,      /* of 8 columns, that one product holds */
    FEW_COLUMNS = 4,        /* up to so many do without the matrix unit */
    PRODUCT_SIMDGROUPS = 4, /* share a tile's chunks: chunk c is simdgroup c % 4's */
    TENSOR_COLUMNS = 32,    /* of a product by tensor operations */
    NORM_THREADS = 128,     /* of a column's norm */
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

/* By column: norm, add_norm, largest. */
struct row_args {
    U32 n, ld_in, ld_out;
    F32 eps;
};

/* After the products of Q, K or V: biases, head norms, RoPE, and where they go. */
struct heads_args {
    U32 d_head, ld;
    U32 flags;              /* HEADS_* */
    F32 scale, eps;         /* scale: of queries */
    U32 kv_type, part_at;   /* METAL_KV_*; bytes from a page head's start to its K or V */
    U32 n_page_heads;       /* of a page: layers times KV heads */
    U32 first_head, head_bytes; /* the layer's first of them; bytes of one */
};

enum { HEADS_BIAS = 1, HEADS_NORM = 2, HEADS_INTERLEAVED = 4, HEADS_ARE_VALUES = 8 };

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

/* A row whose partial results are slots [first_slot, first_slot + n_slots) of the list of slots. */
struct combine_row {
    U32 col, head, first_slot, n_slots;
};

enum { ATTEND_ROWS = 8, MAX_ROW_TILES = 2, NO_PARTIAL = 0x7fffffff };

struct attend_args {
    U32 d_head, group, n_kv_heads, ld_q;    /* group: query heads of a KV head */
    U32 n_page_heads, first_head, head_bytes, v_at, k_type, v_type;
    U32 has_bias, is_interleaved;
};

/* A mixture of experts: a column's share in an expert is a slot. */
struct route_args {
    U32 d_model, ld_model, n_experts, n_used, n_cols;
    U32 is_normalised, has_shared;
    U32 n_blocks, block_slots;  /* blocks of slots at most, and slots of one */
    F32 eps;
};

/* Slots of one expert, in rows block_slots * index .. of what the products read and write. */
struct expert_block {
    U32 expert, n_slots;        /* 0: there is no such block */
};

struct expert_args {
    struct product_args product;    /* n_tiles: of one expert */
    U32 block_slots;
    U32 n_few;                  /* blocks of up to so many slots do without the matrix unit */
};

enum { ROUTE_COLUMNS = 4, ROUTE_EXPERTS = 4, MAX_EXPERTS = 1024 };

/* How a row's token is picked: struct pick, as the kernel needs it. */
struct row_pick {
    U32 kind;               /* PICK_* */
    F32 unit;               /* the random number, in [0, 1) */
    F32 scale;              /* 1 / temperature */
    U32 top_k;              /* 0: off */
    F32 top_p;              /* 1: off */
    F32 log_min_p;          /* the lowest number: off */
};

enum { PICK_BY_HOST, PICK_LARGEST, PICK_FROM_ALL, PICK_FROM_BEST };

struct sampling_args {
    U32 n_vocab, ld_vocab, n_blocks;
};

/* Up to so many candidates are put in order before one is drawn: as many as on the CPU. */
enum { SAMPLING_THREADS = 512, MANY_CANDIDATES = 512 };

struct rate_args {
    U32 n;
};

/* As enum kv_type. */
enum { METAL_KV_F16, METAL_KV_BF16, METAL_KV_Q8_0, METAL_KV_F8_E4M3 };

#endif
