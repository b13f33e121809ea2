/* What the kernels are told, and numbers that both sides count with. Read by C and by CUDA. All
 * pointers are the device's. Rows of columns are dense: ld elements from one column to the next.
 *
 * The structs have no gaps: steps are recognised by their bytes (recorder.c). */
#ifndef BACKEND_CUDA_OP_ARGS_H
#define BACKEND_CUDA_OP_ARGS_H

#include <stdint.h>

#include "backend/cuda/tiles.h"

enum {
    CUDA_PAGE = 16,             /* tokens of a KV page */
    SPLIT = 64,                 /* positions of a part of attention's sum */
    MAX_HEADS_A_PASS = 8,       /* query heads of a KV head that are computed together */
    COLS_A_GROUP = 8,           /* neighbouring columns that share attention's loads */
    CUDA_MAX_D_HEAD = 256,
    LOGITS_A_BLOCK = 256,
    MAX_PARTS = 3,              /* matrices of one product */
    PRODUCT_WORKERS = 132,      /* blocks that share a product, whatever the GPU: where sums are cut
                                 * follows from the weight's shape alone */
    MAX_BLOCK_ROWS = 256,       /* rows of a block of a product */
    PASS_COLS = 2 * BLOCK_COLS, /* columns that one pass over the weights serves at most */
};

/* X = scale * rows of the embedding. */
struct embed_args {
    const uint8_t *tiles;
    const int32_t *token;       /* (n_cols); below 0: -1 - r, row r of picked */
    const int32_t *picked;
    float *x;                   /* (n_cols, d_model) */
    uint32_t format;            /* enum tile_format */
    uint32_t n_blocks;          /* of 256 k, a row of tiles */
    uint32_t d_model, n_cols;
    float scale;
    uint32_t unused;
};

/* of a column: y = x / sqrt(mean(x^2) + eps) * weight; centred, x's mean is taken off before. */
struct norm_args {
    float *x;                   /* (., n); norm_rows: in place */
    uint16_t *h;                /* norm: columns of f16, ld_h */
    const float *weight;        /* NULL: x as it is */
    const uint32_t *col;        /* (n_cols) which column of x; NULL: in order */
    uint32_t n, n_cols, ld_h;
    uint32_t is_centred;
    float eps;
    uint32_t unused;
};

/* x += scale * y, then *= x_scale (0: not), for n_cols columns of n. */
struct join_args {
    float *x;
    const float *y;
    uint32_t n, n_cols;
    float scale, x_scale;
};

/* act = activation(gate) * up * scale, columns of f16. */
struct activate_args {
    const float *gate, *up;     /* (n_cols, n) */
    uint16_t *act;
    uint32_t n, n_cols, ld_act;
    uint32_t activation;        /* enum activation */
    float scale;
    uint32_t unused;
};

/* One matrix of a product. */
struct product_part {
    const uint8_t *tiles;
    const float *bias;          /* (n_rows); NULL: none */
    float *out;                 /* (n_cols, ld_out) */
    uint32_t n_rows, n_row_blocks, ld_out;
    uint32_t adds;              /* out += instead of = */
};

/* out = scale * (w x) + bias_scale * bias. */
struct product_args {
    struct product_part part[MAX_PARTS];
    const uint16_t *x;          /* columns of f16, ld = 256 n_blocks */
    uint16_t *act;              /* not NULL: parts 0 and 1 are gates and ups, whose rows meet in
                                 * what is columns of f16, ld_act: activation(gate) * up */
    float *partial;             /* (PRODUCT_WORKERS, MAX_BLOCK_ROWS * PASS_COLS) */
    uint32_t *flag;             /* (PRODUCT_WORKERS) zero between launches */
    uint32_t format, other_format;      /* enum tile_format: of the parts before the last n_other,
                                         * of those */
    uint32_t n_other, n_other_workers;  /* workers that compute the last parts, by their bytes */
    uint32_t block_rows;        /* 128 or 256: rows that a block of threads computes at a time */
    uint32_t n_blocks;          /* of 256 k */
    uint32_t n_parts, n_cols;
    uint32_t ld_act, activation;        /* activation: enum activation */
    float scale, bias_scale, act_scale;
    uint32_t unused;
};

/* Where K and V lie: page p of the layer begins at kv + p * page_bytes; there, of each KV head,
 * K [16 tokens][d_head] f16, then V likewise. */
struct kv_args {
    uint8_t *kv;
    uint64_t page_bytes;
    uint32_t n_kv_heads, d_head;
};

/* After the products of Q, K and V: head norms, RoPE; queries to q_half, K and V to their pages. */
struct heads_args {
    const float *q, *k, *v;     /* (n_cols, heads * d_head); k NULL: queries alone */
    uint16_t *q_half;           /* (n_cols, n_heads * d_head) */
    struct kv_args kv;
    const uint32_t *pos, *page; /* (n_cols) page: that the column's token goes to */
    const float *norm_q, *norm_k, *norm_v;  /* (d_head); NULL: none */
    const float *cos_sin;       /* (n_positions, n_rot / 2, 2); NULL: none turns */
    const float *q_scales;      /* (n_positions); NULL: 1 */
    uint32_t n_heads, n_cols, n_rot, is_interleaved, is_centred;
    float q_scale, eps_q, eps_k, eps_v;
    uint32_t unused;
};

/* Neighbouring columns of a stream, at neighbouring positions. */
struct col_group {
    uint32_t first_col, n_cols, first_pos;
    uint32_t page_at;           /* where the stream's pages begin in the list of pages */
    uint32_t place;             /* first of its partial results: for each column as many places as
                                 * there are parts up to its position, whatever the window */
    uint32_t unused[3];
};

/* Attention of groups first_group .. first_group + n_groups - 1 of the step's columns. */
struct attend_args {
    struct kv_args kv;
    const uint16_t *q_half;     /* (., n_heads * d_head), scaled by log2(e) too */
    const struct col_group *group;
    const uint32_t *pages;
    const float *sinks;         /* (n_heads); NULL: none */
    float *partial;             /* (places, n_heads, 2 + d_head): max, sum, O */
    uint32_t *n_done;           /* (max_cols, n_kv_heads) zero between launches */
    uint16_t *att;              /* columns of f16, ld_att, of all_cols */
    uint32_t first_group, n_groups, all_cols, n_splits; /* n_splits: of the group that has most */
    uint32_t first_place;       /* of the first group */
    uint32_t n_heads, n_shared, ld_att, window;     /* n_shared: query heads of a KV head */
    float score_cap;            /* in units of log 2, as scores are; 0: none */
};

/* Caps logits, cap * tanh(logit / cap), and finds the largest of each block that have a token. */
struct logits_args {
    float *logits;              /* (n_rows, ld) */
    float *largest;             /* (n_rows, n_blocks) */
    uint32_t n_rows, ld, n_tokens, n_blocks;
    float cap;                  /* 0: none */
    uint32_t unused;
};

#endif
