#include "backend/metal/experts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/metal/recorder.h"

enum {
    N_WIDTHS = 2,           /* of blocks */
    WIDE_FRAGMENTS = 4,     /* of 8 pairs, in the wider ones */
    GROUP_THREADS = 128,
};

struct metal_experts {
    struct metal_pipeline *norm, *scores, *choose, *group, *gather, *gate, *sum;
    struct metal_pipeline *product[N_FRAGMENT_FORMATS][N_WIDTHS], *few[N_FRAGMENT_FORMATS];
    struct metal_buffer score;          /* (max_cols, n_experts) f32 */
    struct metal_buffer chosen, weight; /* (max_cols, n_used) */
    struct metal_buffer shared_weight;  /* (max_cols) */
    struct metal_buffer pair_row;       /* (max_cols, n_used): where a column's pairs lie */
    struct metal_buffer block;          /* (blocks) */
    struct metal_buffer row_col;        /* (rows): whose pair it is. Rows: of all blocks */
    struct metal_buffer h;              /* (rows, ld_model) f16 */
    struct metal_buffer act;            /* (rows, d_expert) f16, scaled by ACT_SCALE */
    struct metal_buffer out;            /* (rows, ld_model) f32; before, gates whose ups are of
                                         * another format, or have biases: (rows, d_expert) */
    struct metal_buffer up;             /* (rows, d_expert) f32: ups, where experts have biases */
};

/* ---- how pairs are cut into blocks ---------------------------------------------------------- */

/* A wider block unpacks weights once for more columns and pads more: worth it where experts have 32
 * columns in the mean. The bits are the same. */
struct cut {
    uint32_t width;         /* 0 or 1: of product[] */
    uint32_t block_pairs;
    uint32_t n_blocks;      /* at most: every expert that is chosen has one that is not full */
};

static struct cut cut_of(const struct dims *d, uint32_t n_cols)
{
    const uint32_t n_pairs = n_cols * d->n_experts_used, wide = 8 * WIDE_FRAGMENTS;
    const uint32_t n_chosen = n_pairs < d->n_experts ? n_pairs : d->n_experts;
    const bool is_wide = n_pairs / d->n_experts >= wide;
    const uint32_t block_pairs = is_wide ? wide : 8;
    return (struct cut){ is_wide, block_pairs,
                         (n_pairs + (block_pairs - 1) * n_chosen) / block_pairs };
}

/* ---- memory --------------------------------------------------------------------------------- */

/* The most blocks and rows that steps of up to max_cols columns have. */
static void find_most(const struct backend_params *p, uint64_t *n_blocks, uint64_t *n_rows)
{
    *n_blocks = *n_rows = 0;
    for (uint32_t n = 1; n <= p->max_cols; n++) {
        const struct cut cut = cut_of(&p->dims, n);
        const uint64_t rows = (uint64_t)cut.n_blocks * cut.block_pairs;
        *n_blocks = cut.n_blocks > *n_blocks ? cut.n_blocks : *n_blocks;
        *n_rows = rows > *n_rows ? rows : *n_rows;
    }
}

static struct workspace workspace_of(struct metal_experts *x, const struct backend_params *p)
{
    const struct dims *d = &p->dims;
    const uint64_t cols = p->max_cols, ld_model = whole(d->d_model, TILE_ROWS);
    const uint64_t ld_out = ld_model > d->d_expert ? ld_model : d->d_expert;
    const char *what = "experts";
    uint64_t blocks, rows;
    struct workspace w = { 0 };
    find_most(p, &blocks, &rows);
    workspace_want(&w, what, cols * d->n_experts * 4, &x->score);
    workspace_want(&w, what, cols * d->n_experts_used * 4, &x->chosen);
    workspace_want(&w, what, cols * d->n_experts_used * 4, &x->weight);
    workspace_want(&w, what, cols * 4, &x->shared_weight);
    workspace_want(&w, what, cols * d->n_experts_used * 4, &x->pair_row);
    workspace_want(&w, what, blocks * sizeof(struct expert_block), &x->block);
    workspace_want(&w, what, rows * 4, &x->row_col);
    workspace_want(&w, what, rows * ld_model * 2, &x->h);
    workspace_want(&w, what, rows * d->d_expert * 2, &x->act);
    workspace_want(&w, what, rows * ld_out * 4, &x->out);
    if (d->has_expert_biases) workspace_want(&w, what, rows * d->d_expert * 4, &x->up);
    return w;
}

uint64_t metal_experts_bytes(const struct backend_params *params)
{
    struct metal_experts x;
    if (!params->dims.n_experts) return 0;
    const struct workspace w = workspace_of(&x, params);
    return metal_workspace_bytes(&w);
}

static pl_status check_dims(const struct dims *d, pl_err *err)
{
    if (d->n_experts > MAX_EXPERTS)
        return pl_fail(err, PL_E_UNSUPPORTED, "%" PRIu32 " experts; up to %d are run", d->n_experts,
                       MAX_EXPERTS);
    if (!d->n_experts_used || d->n_experts_used > d->n_experts)
        return pl_fail(err, PL_E_UNSUPPORTED, "%" PRIu32 " of %" PRIu32 " experts a column; 1 to "
                       "all of them are run", d->n_experts_used, d->n_experts);
    if (!d->d_expert || d->d_expert % TILE_ROWS || d->d_model % TILE_ROWS)
        return pl_fail(err, PL_E_UNSUPPORTED, "experts of %" PRIu32 " by %" PRIu32 "; multiples of "
                       "%d are run", d->d_expert, d->d_model, TILE_ROWS);
    return PL_OK;
}

pl_status metal_experts_open(struct metal_backend *b, pl_err *err)
{
    if (!b->params.dims.n_experts) return PL_OK;
    pl_status st = check_dims(&b->params.dims, err);
    if (st) return st;
    struct metal_experts *x = b->experts = calloc(1, sizeof *x);
    if (!x) return pl_fail(err, PL_E_MEMORY, "no memory for the experts' records");
    const struct workspace w = workspace_of(x, &b->params);
    st = metal_workspace_take(b, &w, err);
    const struct {
        const char *name;
        struct metal_pipeline **to;
    } kernels[] = {
        { "route_norm", &x->norm },   { "route_scores", &x->scores },
        { "choose_experts", &x->choose }, { "group_pairs", &x->group },
        { "gather_pairs", &x->gather },   { "gate_pairs", &x->gate },
        { "expert_sum", &x->sum },
    };
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels && !st; i++)
        st = metal_pipeline_get(b->device, kernels[i].name, NULL, 0, kernels[i].to, err);
    return st;
}

void metal_experts_close(struct metal_backend *b)
{
    free(b->experts);
    b->experts = NULL;
}

static pl_status get_kernel(struct metal_backend *b, const char *name, struct metal_pipeline **out,
                            pl_err *err)
{
    const uint32_t wanted = PRODUCT_SIMDGROUPS * METAL_SIMDGROUP;
    const pl_status st = metal_pipeline_get(b->device, name, NULL, 0, out, err);
    if (st || metal_pipeline_max_threads(*out) >= wanted) return st;
    return pl_fail(err, PL_E_UNSUPPORTED, "%s runs in %" PRIu32 " threads on this GPU; %" PRIu32
                   " are wanted", name, metal_pipeline_max_threads(*out), wanted);
}

pl_status metal_experts_get_kernels(struct metal_backend *b, enum fragment_format format,
                                    pl_err *err)
{
    static const int fragments[N_WIDTHS] = { 1, WIDE_FRAGMENTS };
    struct metal_experts *x = b->experts;
    char name[40];
    pl_status st = PL_OK;
    if (!x) return PL_OK;
    for (int i = 0; i < N_WIDTHS && !st; i++) {
        snprintf(name, sizeof name, "expert_product_%s_%d", fragment_format_name(format),
                 fragments[i]);
        st = get_kernel(b, name, &x->product[format][i], err);
    }
    snprintf(name, sizeof name, "expert_few_%s", fragment_format_name(format));
    return st ? st : get_kernel(b, name, &x->few[format], err);
}

/* ---- the router ----------------------------------------------------------------------------- */

/* Whether the sum is made in Y, from where it joins X. */
static bool is_apart(const struct residual *r)
{
    return r->norm.weight || r->takes_held || r->x_scale != 0;
}

static struct route_args route_args_of(const struct metal_backend *b,
                                       const struct norm *norm, const struct expert_weights *w,
                                       const struct ffn_params *p, const struct residual *r)
{
    const struct dims *d = &b->params.dims;
    const struct cut cut = cut_of(d, b->batch.n_cols);
    return (struct route_args){
        .d_model = d->d_model, .ld_model = b->ld_model, .n_experts = d->n_experts,
        .n_used = d->n_experts_used, .n_cols = b->batch.n_cols, .has_norm = norm->weight != NULL,
        .is_normalised = p->router.is_normalised, .has_shared = w->shared_down.weight != NULL,
        .has_shared_router = w->shared_router != NULL,
        .has_router_bias = w->router_bias != NULL, .has_down_bias = w->down.bias != NULL,
        .has_choice_bias = w->choice_bias != NULL, .is_sigmoid = p->router.score == ROUTER_SIGMOID,
        .n_groups = p->router.n_groups, .n_groups_used = p->router.n_groups_used,
        .scale = p->router.scale,
        .residual_scale = is_apart(r) ? 1 : r->scale, .is_apart = is_apart(r),
        .has_scales = w->scales != NULL, .ranks_by_best = p->router.ranks_by_best,
        .n_blocks = cut.n_blocks, .block_pairs = cut.block_pairs,
        .eps = norm->eps, .is_centred = norm->weight && norm->is_centred,
    };
}

static void group_pairs(struct metal_backend *b, const struct route_args *args)
{
    struct metal_experts *x = b->experts;
    const struct metal_dispatch d = {
        .pipeline = x->group,
        .buffer = { { &x->chosen, 0 }, { &x->block, 0 }, { &x->pair_row, 0 }, { &x->row_col, 0 } },
        .n_buffers = 4, .args = args, .args_bytes = sizeof *args, .n_groups = { 1, 1, 1 },
        .n_threads = GROUP_THREADS, .shared_bytes = whole(args->n_experts * 4, 16),
    };
    metal_dispatch(b->device, &d);
}

/* Scores, choices, blocks, and H by pair. Y has the normalised columns meanwhile. */
static void record_routing(struct metal_backend *b, const struct vector *norm,
                           const struct expert_weights *w, const struct route_args *args)
{
    struct metal_experts *x = b->experts;
    const uint32_t n_cols = b->batch.n_cols;
    const struct vector *shared = w->shared_router;
    const struct metal_buffer *any = &w->router->values;        /* where nothing is read */
    const struct metal_buffer *of_norm[] = { &b->x, norm ? &norm->values : any,
                                             shared ? &shared->values : any, &b->y,
                                             &x->shared_weight };
    const struct metal_buffer *of_scores[] = { &b->y, &w->router->values, &x->score,
                                               w->router_bias ? &w->router_bias->values : any };
    const struct metal_buffer *of_choice[] = { &x->score, &x->chosen, &x->weight,
                                               w->choice_bias ? &w->choice_bias->values : any,
                                               w->scales ? &w->scales->values : any };
    const struct metal_buffer *of_gather[] = { &b->h, &x->block, &x->row_col, &x->h };

    metal_record(b, x->norm, of_norm, 5, args, sizeof *args, n_cols, 1, GROUP_THREADS);
    metal_end_operation(b, "route");
    metal_record(b, x->scores, of_scores, 4, args, sizeof *args,
                 (args->n_experts + ROUTE_EXPERTS - 1) / ROUTE_EXPERTS,
                 (n_cols + ROUTE_COLUMNS - 1) / ROUTE_COLUMNS, ROUTE_EXPERTS * METAL_SIMDGROUP);
    metal_end_operation(b, "route");
    metal_record(b, x->choose, of_choice, 5, args, sizeof *args, n_cols, 1, METAL_SIMDGROUP);
    metal_end_operation(b, "route");
    group_pairs(b, args);
    metal_end_operation(b, "route");
    metal_record(b, x->gather, of_gather, 4, args, sizeof *args, args->block_pairs, args->n_blocks,
                 METAL_SIMDGROUP);
    metal_end_operation(b, "route");
}

/* ---- products ------------------------------------------------------------------------------- */

/* p->n_cols is not used: blocks tell. n_rows: of the output, of one expert. */
static void record_product(struct metal_backend *b, const struct product *p, uint32_t n_rows,
                           const char *name)
{
    struct metal_experts *x = b->experts;
    const struct matrix *m = p->matrix;
    const uint64_t n_matrices = p->gate ? 2 : 1;
    const struct cut cut = cut_of(&b->params.dims, b->batch.n_cols);
    const struct expert_args args = {
        .product = { .n_tiles = n_rows / TILE_ROWS, .n_chunks = m->n_chunks,
                     .tile_bytes = m->tile_bytes, .ld_x = p->ld_in, .ld_out = p->ld_out,
                     .ld_gate = p->ld_out, .epilogue = p->epilogue, .activation = p->activation,
                     .scale = p->scale },
        .block_pairs = cut.block_pairs, .n_few = b->has_few ? FEW_COLUMNS : 0,
    };
    struct metal_dispatch d = {
        .buffer = { { &m->tiles, 0 }, { p->gate ? &p->gate->tiles : &m->tiles, 0 }, { p->in, 0 },
                    { p->out, 0 }, { p->out, 0 }, { p->gate_rows ? p->gate_rows : p->out, 0 },
                    { &b->lanes, 0 }, { &x->block, 0 } },
        .n_buffers = 8, .args = &args, .args_bytes = sizeof args,
        .n_groups = { args.product.n_tiles, cut.n_blocks, 1 },
        .n_threads = PRODUCT_SIMDGROUPS * METAL_SIMDGROUP,
        .n_macs = n_matrices * n_rows * m->n_k * cut.n_blocks * cut.block_pairs,
        .n_read_bytes = n_matrices * args.product.n_tiles * m->tile_bytes * cut.n_blocks,
    };
    if (args.n_few) {
        d.pipeline = x->few[m->format];
        d.shared_bytes = FEW_COLUMNS * 512;
        metal_dispatch(b->device, &d);
    }
    if (b->batch.n_cols > args.n_few) {     /* else no block has more */
        d.pipeline = x->product[m->format][cut.width];
        d.shared_bytes = cut.block_pairs / 8 * 1024;
        metal_dispatch(b->device, &d);
    }
    metal_end_operation(b, name);
}

/* Gates and ups as rows of floats, to which biases are added before the two meet. */
static void gate_up_with_biases(struct metal_backend *b, const struct expert_weights *w,
                                enum activation activation)
{
    struct metal_experts *x = b->experts;
    const struct cut cut = cut_of(&b->params.dims, b->batch.n_cols);
    const uint32_t d_expert = b->params.dims.d_expert;
    const struct product up = {
        .matrix = w->up.weight, .in = &x->h, .out = &x->up, .ld_in = b->ld_model,
        .ld_out = d_expert, .epilogue = EPILOGUE_STORE, .scale = 1,
    };
    struct product gate = up;
    gate.matrix = w->gate.weight;
    gate.out = &x->out;
    const struct pair_args args = { d_expert, cut.block_pairs, w->gate.bias != NULL,
                                    w->up.bias != NULL, activation, ACT_SCALE };
    const struct metal_buffer *of_gate[] = {
        &x->out, &x->up, w->gate.bias ? &w->gate.bias->values : &x->out,
        w->up.bias ? &w->up.bias->values : &x->up, &x->act, &x->block };
    record_product(b, &gate, d_expert, "gate");
    record_product(b, &up, d_expert, "gate_up");
    metal_record(b, x->gate, of_gate, 6, &args, sizeof args, cut.block_pairs, cut.n_blocks,
                 GROUP_THREADS);
    metal_end_operation(b, "bias");
}

static void record_gate_up(struct metal_backend *b, const struct expert_weights *w,
                           enum activation activation)
{
    struct metal_experts *x = b->experts;
    const uint32_t d_expert = b->params.dims.d_expert;
    const struct matrix *gate = w->gate.weight, *up = w->up.weight;
    if (w->gate.bias || w->up.bias) {
        gate_up_with_biases(b, w, activation);
        return;
    }
    const bool is_one_kernel = gate->format == up->format;
    const struct product p = {
        .matrix = up, .gate = is_one_kernel ? gate : NULL, .in = &x->h, .out = &x->act,
        .gate_rows = &x->out, .ld_in = b->ld_model, .ld_out = d_expert, .activation = activation,
        .epilogue = is_one_kernel ? EPILOGUE_GATED : EPILOGUE_TIMES_GATE, .scale = ACT_SCALE,
    };
    if (!is_one_kernel) {
        struct product first = p;
        first.matrix = gate;
        first.out = &x->out;
        first.epilogue = EPILOGUE_STORE;
        first.scale = 1;
        record_product(b, &first, d_expert, "gate");
    }
    record_product(b, &p, d_expert, "gate_up");
}

/* Y = the shared expert's result */
static void record_shared(struct metal_backend *b, const struct expert_weights *w,
                          const struct ffn_params *p)
{
    const struct product down = {
        .matrix = w->shared_down.weight, .in = &b->act, .out = &b->y, .ld_in = b->ld_ff,
        .ld_out = b->ld_model, .n_cols = b->batch.n_cols, .epilogue = EPILOGUE_STORE,
        .scale = 1 / ACT_SCALE,
    };
    metal_gate_up(&b->base, &w->shared_gate, &w->shared_up, p);
    metal_product(b, &down);
    metal_end_operation(b, "down");
}

void metal_experts_add(struct backend *base, const struct norm *norm,
                       const struct expert_weights *w, const struct ffn_params *p,
                       const struct residual *r)
{
    struct metal_backend *b = (struct metal_backend *)base;
    struct metal_experts *x = b->experts;
    const struct route_args args = route_args_of(b, norm, w, p, r);
    const struct product down = {
        .matrix = w->down.weight, .in = &x->act, .out = &x->out, .ld_in = b->params.dims.d_expert,
        .ld_out = b->ld_model, .epilogue = EPILOGUE_STORE, .scale = 1 / ACT_SCALE,
    };
    const struct metal_buffer *of_sum[] = { &x->out, &x->pair_row, &x->weight, &b->y,
                                            &x->shared_weight, args.is_apart ? &b->y : &b->x,
                                            &x->chosen,
                                            w->down.bias ? &w->down.bias->values : &b->y };

    record_routing(b, norm->weight, w, &args);
    if (w->shared_down.weight) record_shared(b, w, p);
    record_gate_up(b, w, p->activation);
    record_product(b, &down, b->params.dims.d_model, "down");
    metal_record(b, x->sum, of_sum, 8, &args, sizeof args, b->batch.n_cols, 1, GROUP_THREADS);
    metal_end_operation(b, "expert sum");
    if (args.is_apart) metal_join(b, r);
}
