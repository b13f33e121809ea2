/* The operations that are matrix products, with what follows each. */
#include "backend/metal/attention.h"
#include "backend/metal/recorder.h"

/* ---- one product ---------------------------------------------------------------------------- */

enum { FRAGMENT_SHARED_BYTES = 1024, COLUMN_SHARED_BYTES = 512 };

/* Blocks of columns of a dispatch at most: a command buffer cannot end within one (pace.h), and 512
 * columns of a 32B model's largest product take an M4 some 110 ms. */
enum { MOST_BLOCKS = 8 };

/* n_blocks blocks of n_cols columns from first_col on, by a kernel that has `shared_bytes`. */
static void dispatch_block(struct metal_backend *b, const struct product *p,
                           const struct metal_pipeline *pipeline, uint32_t first_col,
                           uint32_t n_blocks, uint32_t n_cols, uint32_t shared_bytes)
{
    const struct matrix *m = p->matrix;
    const uint64_t n_matrices = p->gate ? 2 : 1;
    const struct product_args args = {
        .n_tiles = m->n_tiles, .n_chunks = m->n_chunks, .tile_bytes = m->tile_bytes,
        .first_col = first_col, .ld_x = p->ld_in, .ld_out = p->ld_out, .ld_gate = p->ld_out,
        .epilogue = p->epilogue, .activation = p->activation, .scale = p->scale,
    };
    const struct metal_dispatch d = {
        .pipeline = pipeline,
        .buffer = { { &m->tiles, 0 }, { p->gate ? &p->gate->tiles : &m->tiles, 0 }, { p->in, 0 },
                    { p->out, 0 }, { p->out, 0 }, { p->gate_rows ? p->gate_rows : p->out, 0 },
                    { &b->lanes, 0 } },
        .n_buffers = 7, .args = &args, .args_bytes = sizeof args,
        .n_groups = { m->n_tiles, n_blocks, 1 },
        .n_threads = PRODUCT_SIMDGROUPS * METAL_SIMDGROUP,
        .shared_bytes = shared_bytes,
        .n_macs = n_matrices * m->n_tiles * TILE_ROWS * m->n_k * n_blocks * n_cols,
        .n_read_bytes = n_matrices * m->n_tiles * m->tile_bytes * n_blocks,
    };
    metal_dispatch(b->device, &d);
}

/* By tensor operations, blocks of 32 columns. Else as many whole blocks of 64 columns as there are,
 * then one of as few fragments as hold the rest, so that at most 7 columns are padding; or, of up
 * to four, one without the matrix unit and padding. */
void metal_product(struct metal_backend *b, const struct product *p)
{
    const enum fragment_format format = p->matrix->format;
    if (b->has_tensors) {
        dispatch_block(b, p, b->kernel.tensor[format], 0,
                       (p->n_cols + TENSOR_COLUMNS - 1) / TENSOR_COLUMNS, TENSOR_COLUMNS, 0);
        return;
    }
    const uint32_t width = 8 * MAX_FRAGMENTS, n_whole = p->n_cols / width;
    const uint32_t first = n_whole * width, n_left = p->n_cols - first, n = (n_left + 7) / 8;
    for (uint32_t i = 0; i < n_whole; i += MOST_BLOCKS)
        dispatch_block(b, p, b->kernel.product[format][MAX_FRAGMENTS - 1], i * width,
                       n_whole - i < MOST_BLOCKS ? n_whole - i : MOST_BLOCKS, width,
                       MAX_FRAGMENTS * FRAGMENT_SHARED_BYTES);
    if (n_left && n_left <= FEW_COLUMNS && b->has_few)
        dispatch_block(b, p, b->kernel.few[format][n_left - 1], first, 1, n_left,
                       n_left * COLUMN_SHARED_BYTES);
    else if (n_left)
        dispatch_block(b, p, b->kernel.product[format][n - 1], first, 1, 8 * n,
                       n * FRAGMENT_SHARED_BYTES);
}

/* ---- the seam's ----------------------------------------------------------------------------- */

/* rows += scale * bias, where there is one. */
static void add_bias(struct metal_backend *b, const struct vector *bias, float scale,
                     const struct metal_buffer *rows, uint32_t ld)
{
    if (!bias) return;
    const struct row_args args = { bias->n, ld, ld, 0, 0, scale, false, 0 };
    const struct metal_buffer *buffers[] = { rows, &bias->values };
    metal_record(b, b->kernel.add_bias, buffers, 2, &args, sizeof args, b->batch.n_cols, 1,
                 NORM_THREADS);
    metal_end_operation(b, "bias");
}

/* rows = norm of rows: of all of a row together. */
static void norm_rows(struct metal_backend *b, const struct norm *norm,
                      const struct metal_buffer *rows, uint32_t ld)
{
    const struct row_args args = { norm->weight->n, ld, ld, 1, norm->eps, 1, norm->is_centred, 0 };
    const struct metal_buffer *buffers[] = { rows, &norm->weight->values };
    metal_record(b, b->kernel.norm_rows, buffers, 2, &args, sizeof args, b->batch.n_cols, 1,
                 NORM_THREADS);
    metal_end_operation(b, "norm");
}

/* to += scale * from, or, with no `from`, to *= scale: rows of d_model. */
static void add_rows(struct metal_backend *b, const struct metal_buffer *to,
                     const struct metal_buffer *from, float scale)
{
    const struct row_args args = { b->params.dims.d_model, b->ld_model, b->ld_model, 0, 0, scale,
                                   false, 0 };
    const struct metal_buffer *buffers[] = { to, from };
    metal_record(b, from ? b->kernel.add_rows : b->kernel.scale_rows, buffers, from ? 2 : 1, &args,
                 sizeof args, b->batch.n_cols, 1, NORM_THREADS);
    metal_end_operation(b, "residual");
}

/* Y joins all tracks but the first. */
static void join_tracks(struct metal_backend *b, float scale)
{
    struct track_args args = metal_track_args(b, 0);
    const struct metal_buffer *buffers[] = { &b->y, &b->tracks };
    args.scale = scale;
    metal_record(b, b->kernel.join_tracks, buffers, 2, &args, sizeof args, b->batch.n_cols, 1,
                 NORM_THREADS);
    metal_end_operation(b, "tracks");
}

void metal_join(struct metal_backend *b, const struct residual *r)
{
    const bool takes_held = r->takes_held;
    const struct norm *last = takes_held ? &r->norm_held : &r->norm;
    const struct row_args args = { b->params.dims.d_model, b->ld_model, b->ld_model, 1, last->eps,
                                   r->scale, last->is_centred, r->x_scale };
    if (takes_held && r->norm.weight) norm_rows(b, &r->norm, &b->y, b->ld_model);
    if (takes_held) add_rows(b, &b->y, &b->held, 1);
    if (r->joins_tracks) {
        if (last->weight) norm_rows(b, last, &b->y, b->ld_model);
        join_tracks(b, r->scale);
        return;
    }
    if (!last->weight) {
        add_rows(b, &b->x, &b->y, r->scale);
        if (r->x_scale != 0) add_rows(b, &b->x, NULL, r->x_scale);
        return;
    }
    const struct metal_buffer *buffers[] = { &b->y, &last->weight->values, &b->x };
    metal_record(b, b->kernel.add_norm, buffers, 3, &args, sizeof args, b->batch.n_cols, 1,
                 NORM_THREADS);
    metal_end_operation(b, "norm");
}

/* X += residual of (in_scale * in) * w + bias; where it is more than a scaled sum, by way of Y. */
static void add_product(struct metal_backend *b, const struct linear *w,
                        const struct metal_buffer *in, uint32_t ld_in, float in_scale,
                        const struct residual *r, const char *name)
{
    const bool is_sum = !r->norm.weight && !r->takes_held && !r->is_held && r->x_scale == 0 &&
                        !r->joins_tracks;
    const float scale = is_sum ? r->scale : 1;
    const struct product p = {
        .matrix = w->weight, .in = in, .out = is_sum ? &b->x : r->is_held ? &b->held : &b->y,
        .ld_in = ld_in, .ld_out = b->ld_model, .n_cols = b->batch.n_cols,
        .epilogue = is_sum ? EPILOGUE_ADD : EPILOGUE_STORE, .scale = scale * in_scale,
    };
    metal_product(b, &p);
    metal_end_operation(b, name);
    add_bias(b, w->bias, scale, p.out, b->ld_model);
    if (r->is_held && r->norm.weight) norm_rows(b, &r->norm, &b->held, b->ld_model);
    if (!is_sum && !r->is_held) metal_join(b, r);
}

void metal_attention_add(struct backend *base, const struct linear *w, const struct residual *r)
{
    struct metal_backend *b = (struct metal_backend *)base;
    add_product(b, w, &b->att, b->ld_q, 1, r, "attention output");
}

void metal_down_add(struct backend *base, const struct linear *w, const struct residual *r)
{
    struct metal_backend *b = (struct metal_backend *)base;
    add_product(b, w, &b->act, b->ld_ff, 1 / ACT_SCALE, r, "down");
}

static void store_rows(struct metal_backend *b, const struct matrix *weight,
                       const struct metal_buffer *out, uint32_t ld)
{
    const struct product p = {
        .matrix = weight, .in = &b->h, .out = out, .ld_in = b->ld_model, .ld_out = ld,
        .n_cols = b->batch.n_cols, .epilogue = EPILOGUE_STORE, .scale = 1,
    };
    metal_product(b, &p);
}

/* Gates and ups as rows of floats, to which biases are added before the two meet. */
static void gate_up_with_biases(struct metal_backend *b, const struct linear *gate,
                                const struct linear *up, enum activation activation)
{
    const struct product_args args = { .n_tiles = up->weight->n_tiles, .ld_out = b->ld_ff,
                                       .activation = activation, .scale = ACT_SCALE };
    const struct metal_buffer *buffers[] = { &b->gate, &b->up, &b->act };
    store_rows(b, gate->weight, &b->gate, b->ld_ff);
    store_rows(b, up->weight, &b->up, b->ld_ff);
    metal_end_operation(b, "gate_up");
    add_bias(b, gate->bias, 1, &b->gate, b->ld_ff);
    add_bias(b, up->bias, 1, &b->up, b->ld_ff);
    metal_record(b, b->kernel.gate_rows, buffers, 3, &args, sizeof args, b->batch.n_cols, 1,
                 NORM_THREADS);
    metal_end_operation(b, "bias");
}

static void cut_gates(struct metal_backend *b, uint32_t n, float cut)
{
    const struct cut_args args = { n, b->ld_ff, cut };
    const struct metal_buffer *buffers[] = { &b->gate };
    metal_record(b, b->kernel.cut_gates, buffers, 1, &args, sizeof args, b->batch.n_cols, 1,
                 NORM_THREADS);
    metal_end_operation(b, "gate");
}

void metal_gate_up(struct backend *base, const struct linear *gate_w, const struct linear *up_w,
                   const struct ffn_params *params)
{
    struct metal_backend *b = (struct metal_backend *)base;
    if (gate_w->bias || up_w->bias) {
        gate_up_with_biases(b, gate_w, up_w, params->activation);
        return;
    }
    const struct matrix *gate = gate_w->weight, *up = up_w->weight;
    const bool is_one_kernel = gate->format == up->format && !params->has_cut;
    struct product p = {
        .matrix = up, .gate = is_one_kernel ? gate : NULL, .in = &b->h, .out = &b->act,
        .gate_rows = &b->gate, .ld_in = b->ld_model, .ld_out = b->ld_ff, .n_cols = b->batch.n_cols,
        .epilogue = is_one_kernel ? EPILOGUE_GATED : EPILOGUE_TIMES_GATE,
        .activation = params->activation, .scale = ACT_SCALE,
    };
    if (!is_one_kernel) {
        struct product first = p;
        first.matrix = gate;
        first.out = &b->gate;
        first.epilogue = EPILOGUE_STORE;
        first.scale = 1;
        metal_product(b, &first);
        metal_end_operation(b, "gate");
    }
    if (params->has_cut) cut_gates(b, gate->n_rows, params->cut);
    metal_product(b, &p);
    metal_end_operation(b, "gate_up");
}

/* ---- Q, K and V ----------------------------------------------------------------------------- */

/* What the heads of a row get on their way, flags and numbers; `any` stands where nothing is read.
 */
struct finish {
    struct heads_args args;
    const struct metal_buffer *bias, *norm, *cos_sin;
};

static struct finish finish_of(uint32_t d_head, const struct vector *bias,
                               const struct norm *norm, const struct rope *rope,
                               const struct metal_buffer *any)
{
    return (struct finish){
        .args = { .d_head = d_head, .eps = norm->eps,
                  .n_rot = rope ? rope->n_rot : 0,
                  .flags = (bias ? HEADS_BIAS : 0) | (norm->weight ? HEADS_NORM : 0) |
                           (norm->weight && norm->is_centred ? HEADS_CENTRED : 0) |
                           (rope && rope->is_interleaved ? HEADS_INTERLEAVED : 0) },
        .bias = bias ? &bias->values : any, .norm = norm->weight ? &norm->weight->values : any,
        .cos_sin = rope ? &rope->cos_sin : any,
    };
}

static void finish_queries(struct metal_backend *b, const struct qkv_weights *w,
                           const struct attention_params *a)
{
    const struct heads heads = metal_heads(b, a);
    struct finish f = finish_of(heads.d_head, w->q.bias, &w->norm_q, a->rope, &b->q);
    const struct metal_buffer *buffers[] = { &b->q, &b->q_half, f.bias, f.norm, f.cos_sin,
                                             &b->step[b->at].pos,
                                             a->q_scales ? &a->q_scales->values : &b->q };
    f.args.ld = b->ld_q;
    f.args.flags |= (a->q_scales ? HEADS_SCALES : 0) | (w->norms_turned ? HEADS_NORMED_LATER : 0);
    f.args.scale = a->q_scale * LOG2_E;
    metal_record(b, b->kernel.finish_queries, buffers, 7, &f.args, sizeof f.args,
                 heads.n_heads, b->batch.n_cols, METAL_SIMDGROUP);
}

/* Keys, or values, to their pages. */
static void finish_kv(struct metal_backend *b, const struct attention_params *a,
                      const struct metal_buffer *rows, struct finish f, bool are_values)
{
    const struct metal_kv *kv = &b->kv_layout[a->has_other_heads];
    const struct metal_step *step = &b->step[b->at];
    const struct metal_buffer *buffers[] = { rows, &b->kv, f.bias, f.norm, f.cos_sin, &step->pos,
                                             &step->col_page[a->kv_group] };
    f.args.ld = b->ld_kv;
    f.args.flags |= are_values ? HEADS_ARE_VALUES : 0;
    f.args.kv_type = are_values ? kv->v_type : kv->k_type;
    f.args.part_at = are_values ? kv->v_at : 0;
    f.args.page_units = metal_page_units(b, a);
    f.args.first_unit = metal_first_unit(b, a);
    f.args.head_bytes = kv->head_bytes;
    metal_record(b, b->kernel.finish_kv, buffers, 7, &f.args, sizeof f.args,
                 metal_heads(b, a).n_kv_heads, b->batch.n_cols, METAL_SIMDGROUP);
}

/* Biases and norms of all heads of a column together; what is left for each is in `of_heads`. */
static void norm_columns(struct metal_backend *b, const struct qkv_weights *w,
                         struct qkv_weights *of_heads)
{
    add_bias(b, w->q.bias, 1, &b->q, b->ld_q);
    norm_rows(b, &w->norm_q, &b->q, b->ld_q);
    if (w->k.weight) add_bias(b, w->k.bias, 1, &b->k, b->ld_kv);
    if (w->k.weight) norm_rows(b, &w->norm_k, &b->k, b->ld_kv);
    of_heads->q.bias = of_heads->k.bias = NULL;
    of_heads->norm_q = of_heads->norm_k = (struct norm){ 0 };
}

void metal_qkv(struct backend *base, const struct qkv_weights *w, const struct attention_params *a)
{
    struct metal_backend *b = (struct metal_backend *)base;
    const uint32_t d_head = metal_heads(b, a).d_head;
    const bool is_normed = w->norm_q.weight && w->norm_q.weight->n != d_head;
    struct qkv_weights of_heads = *w;       /* what is left for each head */
    if (metal_keeps_bias_out(b, w)) of_heads.k.bias = NULL;
    store_rows(b, w->q.weight, &b->q, b->ld_q);
    if (w->k.weight) store_rows(b, w->k.weight, &b->k, b->ld_kv);
    if (w->v.weight) store_rows(b, w->v.weight, &b->v, b->ld_kv);
    metal_end_operation(b, "qkv");
    if (is_normed) norm_columns(b, w, &of_heads);
    finish_queries(b, &of_heads, a);
    if (w->k.weight) {
        struct finish keys = finish_of(d_head, of_heads.k.bias, &of_heads.norm_k, a->rope, &b->k);
        keys.args.flags |= w->norms_turned ? HEADS_NORMED_LATER : 0;
        finish_kv(b, a, &b->k, keys, false);
        finish_kv(b, a, &b->v, finish_of(d_head, w->v.bias, &w->norm_v, NULL, &b->v), true);
    }
    metal_end_operation(b, "rope");
}
