#include "estimate/columns.h"

#include <math.h>

#include "estimate/metal_costs.h"
#include "quant/quant.h"

enum { CHUNK = 32 };        /* rows, and k, of what a simdgroup multiplies at once */

double columns_of_unpacking(uint32_t type)
{
    return quant_traits(type)->block_weights == 256 ? 1.4 : 5.0;
}

double macs_of_column(uint32_t type)
{
    return quant_traits(type)->block_weights == 1 ? 3.3 : 1;
}

/* ---- Metal ---------------------------------------------------------------------------------- */

static uint32_t whole_fragments(uint32_t n)
{
    return (n + METAL_FRAGMENT - 1) / METAL_FRAGMENT;
}

/* Of a chunk, whatever the columns. */
static double unpacking(const struct metal_cost *c)
{
    return METAL_ROW_TILES * c->tile + c->load + METAL_LOOP;
}

/* Without the matrix unit: a lane a row. */
static struct column_cost few_cost(const struct metal_cost *c, uint32_t n)
{
    const double lanes =
        unpacking(c) + METAL_ROW_LOAD + n * (double)CHUNK + (n + 1) / 2 * METAL_FEW_LOAD;
    return (struct column_cost){ 0, lanes / CHUNK };
}

static struct column_cost fragments_cost(const struct metal_cost *c, uint32_t n_fragments)
{
    const double lanes = unpacking(c) + (double)n_fragments * METAL_COLUMN_LOAD;
    return (struct column_cost){ (double)n_fragments * METAL_FRAGMENT, lanes / CHUNK };
}

static struct column_cost plus(struct column_cost a, struct column_cost b, double times)
{
    return (struct column_cost){ a.macs + times * b.macs, a.lanes + times * b.lanes };
}

/* Blocks of `most` fragments, then one of as few as hold the rest. */
static struct column_cost blocks_cost(const struct metal_cost *c, uint32_t n, uint32_t most)
{
    const uint32_t width = most * METAL_FRAGMENT, left = n % width;
    struct column_cost all = plus((struct column_cost){ 0, 0 }, fragments_cost(c, most), n / width);
    if (!left) return all;
    return plus(all, left <= METAL_FEW ? few_cost(c, left)
                                       : fragments_cost(c, whole_fragments(left)), 1);
}

/* An expert's columns: blocks of one width, the last one full or not. */
static struct column_cost expert_columns_cost(const struct metal_cost *c, uint32_t n, uint32_t most)
{
    const uint32_t width = most * METAL_FRAGMENT, left = n % width;
    struct column_cost all = plus((struct column_cost){ 0, 0 }, fragments_cost(c, most), n / width);
    if (!left) return all;
    return plus(all, left <= METAL_FEW ? few_cost(c, left) : fragments_cost(c, most), 1);
}

static struct column_cost tensors_cost(const struct metal_cost *c, uint32_t n)
{
    const double blocks = (n + METAL_TENSOR_COLUMNS - 1) / METAL_TENSOR_COLUMNS;
    const double lanes = unpacking(c) + METAL_TENSOR_STAGE;
    return (struct column_cost){ blocks * METAL_TENSOR_COLUMNS, blocks * lanes / CHUNK };
}

struct column_cost attend_cost(const struct attend_shape *s)
{
    const uint32_t rows = whole_fragments(s->n_rows) * METAL_FRAGMENT;
    const double walks = (rows + METAL_ATTEND_ROWS - 1) / METAL_ATTEND_ROWS;
    const double staged =
        (double)s->d_head * (metal_stage_of(s->k_type) + metal_stage_of(s->v_type));
    return (struct column_cost){
        2.0 * rows * s->d_head,
        walks * staged + rows * (METAL_ATTEND_SOFTEN +
                                 (double)s->d_head * METAL_ATTEND_MERGE / METAL_ATTEND_SPLIT),
    };
}

/* ---- CPUs, with and without a matrix unit ---------------------------------------------------- */

static double cpu_macs(uint32_t type, uint32_t n)
{
    return macs_of_column(type) * n + columns_of_unpacking(type);
}

static double cpu_matrix_macs(uint32_t type, uint32_t n)
{
    const bool is_kquant = quant_traits(type)->block_weights == 256;
    if (is_kquant && n >= CPU_MATRIX_FROM) return n + CPU_MATRIX_UNPACKING;
    return CPU_MATRIX_TIMES * cpu_macs(type, n);
}

/* ---- all ------------------------------------------------------------------------------------ */

struct column_cost column_cost(enum estimate_backend backend, uint32_t type, uint32_t n_columns)
{
    if (!n_columns) return (struct column_cost){ 0, 0 };
    switch (backend) {
    case ESTIMATE_CPU: return (struct column_cost){ cpu_macs(type, n_columns), 0 };
    case ESTIMATE_CPU_MATRIX: return (struct column_cost){ cpu_matrix_macs(type, n_columns), 0 };
    case ESTIMATE_METAL: return blocks_cost(metal_cost_of(type), n_columns, METAL_MOST_FRAGMENTS);
    case ESTIMATE_METAL_TENSORS: return tensors_cost(metal_cost_of(type), n_columns);
    default: return (struct column_cost){ n_columns, 0 };
    }
}

uint32_t columns_computed(enum estimate_backend backend, uint32_t n)
{
    if (backend == ESTIMATE_METAL_TENSORS)
        return (n + METAL_TENSOR_COLUMNS - 1) / METAL_TENSOR_COLUMNS * METAL_TENSOR_COLUMNS;
    if (backend != ESTIMATE_METAL) return n;
    const uint32_t left = n % (METAL_FRAGMENT * METAL_MOST_FRAGMENTS);
    return left <= METAL_FEW ? n : n - left + whole_fragments(left) * METAL_FRAGMENT;
}

/* Of n columns, that exactly k choose one expert. */
static double chance(uint32_t n, uint32_t k, double share)
{
    return exp(lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0) + k * log(share) +
               (n - k) * log1p(-share));
}

struct column_cost expert_cost(enum estimate_backend backend, uint32_t type, uint32_t n_experts,
                               uint32_t n_used, uint32_t n_columns)
{
    const double share = (double)n_used / n_experts;
    const struct metal_cost *c = metal_cost_of(type);
    const uint32_t wide = METAL_EXPERT_FRAGMENTS * METAL_FRAGMENT;
    const uint32_t most =
        n_columns * n_used / n_experts >= wide ? METAL_EXPERT_FRAGMENTS : 1;
    struct column_cost mean = { 0, 0 };
    for (uint32_t k = 1; k <= n_columns; k++) {
        const double p = n_used < n_experts ? chance(n_columns, k, share) : k == n_columns;
        if (p < 1e-12) continue;
        mean = plus(mean, estimate_backend_is_metal(backend) ? expert_columns_cost(c, k, most)
                                                             : column_cost(backend, type, k), p);
    }
    return mean;
}
