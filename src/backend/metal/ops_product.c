/* The operations that are matrix products, with what follows each. */
#include "backend/metal/attention.h"
#include "backend/metal/metal_internal.h"

/* ---- one product ---------------------------------------------------------------------------- */

enum { FRAGMENT_SHARED_BYTES = 1024, COLUMN_SHARED_BYTES = 512 };

/* n_blocks blocks of columns from first_col on, by a kernel that has `shared_bytes`. */
static void dispatch_block(struct metal_backend *b, const struct product *p,
                           const struct metal_pipeline *pipeline, uint32_t first_col,
                           uint32_t n_blocks, uint32_t shared_bytes)
{
    const struct matrix *m = p->matrix;
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
                       (p->n_cols + TENSOR_COLUMNS - 1) / TENSOR_COLUMNS, 0);
        return;
    }
    const uint32_t width = 8 * MAX_FRAGMENTS, n_whole = p->n_cols / width;
    const uint32_t first = n_whole * width, n_left = p->n_cols - first, n = (n_left + 7) / 8;
    if (n_whole)
        dispatch_block(b, p, b->kernel.product[format][MAX_FRAGMENTS - 1], 0, n_whole,
                       MAX_FRAGMENTS * FRAGMENT_SHARED_BYTES);
    if (n_left && n_left <= FEW_COLUMNS && b->has_few)
        dispatch_block(b, p, b->kernel.few[format][n_left - 1], first, 1,
                       n_left * COLUMN_SHARED_BYTES);
    else if (n_left)
        dispatch_block(b, p, b->kernel.product[format][n - 1], first, 1, n * FRAGMENT_SHARED_BYTES);
}

/* ---- the seam's ----------------------------------------------------------------------------- */

/* X += scale * (in * weight), or with a norm of that result first. */
static void add_product(struct metal_backend *b, const struct matrix *weight,
                        const struct metal_buffer *in, uint32_t ld_in, float scale,
                        const struct vector *post_norm, float eps, const char *name)
{
    const struct product p = {
        .matrix = weight, .in = in, .out = post_norm ? &b->y : &b->x, .ld_in = ld_in,
        .ld_out = b->ld_model, .n_cols = b->batch.n_cols,
        .epilogue = post_norm ? EPILOGUE_STORE : EPILOGUE_ADD, .scale = scale,
    };
    metal_product(b, &p);
    metal_end_operation(b, name);
    if (!post_norm) return;
    const struct row_args args = { b->params.dims.d_model, b->ld_model, b->ld_model, eps };
    const struct metal_buffer *buffers[] = { &b->y, &post_norm->values, &b->x };
    metal_record(b, b->kernel.add_norm, buffers, 3, &args, sizeof args, b->batch.n_cols, 1,
                 NORM_THREADS);
    metal_end_operation(b, "norm");
}

void metal_attention_add(struct backend *base, const struct matrix *weight,
                         const struct vector *post_norm, float eps)
{
    struct metal_backend *b = (struct metal_backend *)base;
    add_product(b, weight, &b->att, b->ld_q, 1, post_norm, eps, "attention output");
}

void metal_down_add(struct backend *base, const struct matrix *weight,
                    const struct vector *post_norm, float eps)
{
    struct metal_backend *b = (struct metal_backend *)base;
    add_product(b, weight, &b->act, b->ld_ff, 1 / ACT_SCALE, post_norm, eps, "down");
}

void metal_gate_up(struct backend *base, const struct matrix *gate, const struct matrix *up,
                   enum activation activation)
{
    struct metal_backend *b = (struct metal_backend *)base;
    const bool is_one_kernel = gate->format == up->format;
    struct product p = {
        .matrix = up, .gate = is_one_kernel ? gate : NULL, .in = &b->h, .out = &b->act,
        .gate_rows = &b->gate, .ld_in = b->ld_model, .ld_out = b->ld_ff, .n_cols = b->batch.n_cols,
        .epilogue = is_one_kernel ? EPILOGUE_GATED : EPILOGUE_TIMES_GATE, .activation = activation,
        .scale = ACT_SCALE,
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
    metal_product(b, &p);
    metal_end_operation(b, "gate_up");
}

/* ---- Q, K and V ----------------------------------------------------------------------------- */

static void store_rows(struct metal_backend *b, const struct matrix *weight,
                       const struct metal_buffer *out, uint32_t ld)
{
    const struct product p = {
        .matrix = weight, .in = &b->h, .out = out, .ld_in = b->ld_model, .ld_out = ld,
        .n_cols = b->batch.n_cols, .epilogue = EPILOGUE_STORE, .scale = 1,
    };
    metal_product(b, &p);
}

static void finish_queries(struct metal_backend *b, const struct qkv_weights *w,
                           const struct rope *rope, float scale, float eps)
{
    const struct dims *d = &b->params.dims;
    const struct heads_args args = {
        .d_head = d->d_head, .ld = b->ld_q, .scale = scale, .eps = eps,
        .flags = (w->bias_q ? HEADS_BIAS : 0) | (w->norm_q ? HEADS_NORM : 0) |
                 (rope->interleaved ? HEADS_INTERLEAVED : 0),
    };
    const struct metal_buffer *buffers[] = {
        &b->q, &b->q_half, w->bias_q ? &w->bias_q->values : &b->q,
        w->norm_q ? &w->norm_q->values : &b->q, &rope->cos_sin, &b->step[b->at].pos,
    };
    metal_record(b, b->kernel.finish_queries, buffers, 6, &args, sizeof args, d->n_heads,
                 b->batch.n_cols, METAL_SIMDGROUP);
}

static void finish_kv(struct metal_backend *b, uint32_t layer, const struct metal_buffer *rows,
                      const struct vector *bias, const struct vector *norm, const struct rope *rope,
                      float eps, bool are_values)
{
    const struct dims *d = &b->params.dims;
    const struct metal_kv *kv = &b->kv_layout;
    const struct heads_args args = {
        .d_head = d->d_head, .ld = b->ld_kv, .eps = eps,
        .flags = (bias ? HEADS_BIAS : 0) | (norm ? HEADS_NORM : 0) |
                 (rope->interleaved ? HEADS_INTERLEAVED : 0) | (are_values ? HEADS_ARE_VALUES : 0),
        .kv_type = are_values ? kv->v_type : kv->k_type, .part_at = are_values ? kv->v_at : 0,
        .n_page_heads = d->n_layers * d->n_kv_heads, .first_head = layer * d->n_kv_heads,
        .head_bytes = kv->head_bytes,
    };
    const struct metal_buffer *buffers[] = {
        rows, &b->kv, bias ? &bias->values : rows, norm ? &norm->values : rows, &rope->cos_sin,
        &b->step[b->at].pos, &b->step[b->at].col_page,
    };
    metal_record(b, b->kernel.finish_kv, buffers, 7, &args, sizeof args, d->n_kv_heads,
                 b->batch.n_cols, METAL_SIMDGROUP);
}

void metal_qkv(struct backend *base, uint32_t layer, const struct qkv_weights *w,
               const struct rope *rope, float q_scale, float eps)
{
    struct metal_backend *b = (struct metal_backend *)base;
    const bool is_out = kv_keeps_bias_out(b->kv_layout.k_type, w->bias_k, w->norm_k);
    store_rows(b, w->q, &b->q, b->ld_q);
    store_rows(b, w->k, &b->k, b->ld_kv);
    store_rows(b, w->v, &b->v, b->ld_kv);
    metal_end_operation(b, "qkv");
    finish_queries(b, w, rope, q_scale * 1.44269504089f, eps);     /* softmax runs in base 2 */
    finish_kv(b, layer, &b->k, is_out ? NULL : w->bias_k, w->norm_k, rope, eps, false);
    finish_kv(b, layer, &b->v, w->bias_v, NULL, rope, eps, true);
    metal_end_operation(b, "rope");
    metal_attention_set_bias(b, layer, is_out ? w->bias_k : NULL, rope);
}
