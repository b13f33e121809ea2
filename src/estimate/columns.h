/* What a product executes for so many columns, by backend. A backend's kernels have their own
 * widths: columns that no stream has are computed all the same, and weights are unpacked once a
 * pass.
 *
 *   cpu            columns as they are; unpacking takes as long as some columns do
 *   with a matrix unit   the same, but from CPU_MATRIX_FROM columns on K-quants are multiplied
 *                  CPU_MATRIX_TIMES as fast, after more unpacking
 *   metal          whole blocks of 64, the rest in eights, up to 4 of it without the matrix unit
 *   metal-tensors  blocks of 32; experts as on metal
 *   cuda, rocm     columns as they are: what an engine does at its best
 *
 * No state, any thread. */
#ifndef ESTIMATE_COLUMNS_H
#define ESTIMATE_COLUMNS_H

#include <stdint.h>

#include "estimate/backends.h"
#include "quant/kv_type.h"

/* Fitted to 16 threads of a Xeon with AMX at 20 and 64 columns and prompts of 512
 * (bench/results/cores.jsonl); macs are in units of the faster rate. */
#define CPU_MATRIX_TIMES 2.1
enum { CPU_MATRIX_FROM = 10, CPU_MATRIX_UNPACKING = 7 };

/* Of one weight. */
struct column_cost {
    double macs;                /* multiply-adds by the unit that products run on */
    double lanes;               /* a GPU's instructions beside these, by lane */
};

/* Of a weight of the type times n_columns columns. */
struct column_cost column_cost(enum estimate_backend backend, uint32_t type, uint32_t n_columns);

/* Of a weight of one of n_experts experts of which each of n_columns columns chooses n_used at
 * random: the mean over how many columns an expert gets, and over experts that get none. */
struct column_cost expert_cost(enum estimate_backend backend, uint32_t type, uint32_t n_experts,
                               uint32_t n_used, uint32_t n_columns);

/* The columns that a product computes where a step has n_columns. */
uint32_t columns_computed(enum estimate_backend backend, uint32_t n_columns);

/* On a CPU: columns that unpacking a type takes as long as; and multiply-adds of bytes that one of
 * the type takes as long as, above 1 where it is floats. */
double columns_of_unpacking(uint32_t type);
double macs_of_column(uint32_t type);

/* Of attention of one KV head with one token of context that n_rows query heads look at together
 * (a stream's, or those of a chunk of a prompt): Metal alone. */
struct attend_shape {
    uint32_t n_rows, d_head;
    enum kv_type k_type, v_type;
};
struct column_cost attend_cost(const struct attend_shape *shape);

#endif
