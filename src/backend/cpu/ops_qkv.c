/* Q, K and V of a layer, RoPE, and the KV pages they go to. */
#include "backend/cpu/cpu_internal.h"

/* The three products are one range of panels, so that the split is even whatever their sizes. */
static void run_qkv_product(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct {
        const struct matrix *m;
        float *out;
        size_t ld;
    } parts[] = {
        { p->qkv->q, b->q, b->ld_q },
        { p->qkv->k, b->k_rows, b->ld_kv },
        { p->qkv->v, b->v_rows, b->ld_kv },
    };
    const uint32_t n_cols = p->has_residuals ? 2 * b->batch.n_cols : b->batch.n_cols;
    const uint32_t n_all = p->qkv->q->n_panels + p->qkv->k->n_panels + p->qkv->v->n_panels;
    const struct share all = share_of(n_all, part);
    uint32_t start = 0;
    for (int i = 0; i < 3; i++) {
        const uint32_t end = start + parts[i].m->n_panels;
        const struct share mine = { (all.first > start ? all.first : start) - start,
                                    (all.last < end ? all.last : end) - start };
        if (all.first < end && all.last > start)
            product_panels(b, parts[i].m, &b->h, n_cols, mine, parts[i].out, parts[i].ld);
        start = end;
    }
}

/* head: one head of a column, `ld` floats a column. */
static void add_residual(const struct cpu_backend *b, const struct phase *p, float *head, size_t ld)
{
    if (p->has_residuals) b->k.add(head, head + b->batch.n_cols * ld, b->params.dims.d_head);
}

static void prepare_head(const struct cpu_backend *b, const struct phase *p, float *head, size_t ld,
                         const float *bias, const struct vector *norm, uint32_t pos, float scale)
{
    const uint32_t d_head = b->params.dims.d_head;
    add_residual(b, p, head, ld);
    if (bias) b->k.add(head, bias, d_head);
    if (norm) b->k.rms_norm(head, norm->values, d_head, p->eps, head);
    b->k.rope(head, p->rope->cos_sin + (size_t)pos * d_head, d_head, p->rope->interleaved, scale);
}

static const struct span *span_of(const struct batch *batch, uint32_t col)
{
    const struct span *s = batch->span;
    while (col - s->first_col >= s->n_cols) s++;    /* spans come in any order */
    return s;
}

static void write_kv(struct cpu_backend *b, const struct phase *p, uint32_t head, uint32_t col,
                     const struct span *span)
{
    const uint32_t d_head = b->params.dims.d_head, pos = b->batch.pos[col];
    float *k = b->k_rows + col * b->ld_kv + head * d_head;
    float *v = b->v_rows + col * b->ld_kv + head * d_head;
    const struct vector *bias_k = p->qkv->bias_k, *bias_v = p->qkv->bias_v;

    if (kv_keeps_bias_out(b->layout.k, bias_k, p->qkv->norm_k)) bias_k = NULL;
    prepare_head(b, p, k, b->ld_kv, bias_k ? bias_k->values + head * d_head : NULL,
                 p->qkv->norm_k, pos, 1);
    add_residual(b, p, v, b->ld_kv);
    if (bias_v) b->k.add(v, bias_v->values + head * d_head, d_head);
    b->k.kv_write(kv_of(b, span->page[pos / PAGE_TOKENS], p->layer, head), &b->layout,
                  pos % PAGE_TOKENS, k, v);
}

/* Items are heads, queries first, times columns; the columns of a KV head stay on one thread where
 * the split allows, since neighbouring tokens share cache lines of a page. */
static void run_heads(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct dims *d = &b->params.dims;
    const uint32_t n_cols = b->batch.n_cols;
    const struct vector *bias_q = p->qkv->bias_q;
    const struct share items = share_of((d->n_heads + d->n_kv_heads) * n_cols, part);
    const struct span *span = NULL;

    for (uint32_t i = items.first; i < items.last; i++) {
        const uint32_t head = i / n_cols, col = i % n_cols;
        if (head < d->n_heads) {
            prepare_head(b, p, b->q + col * b->ld_q + head * d->d_head, b->ld_q,
                         bias_q ? bias_q->values + head * d->d_head : NULL, p->qkv->norm_q,
                         b->batch.pos[col], p->scale);
        } else {
            if (!span || col - span->first_col >= span->n_cols) span = span_of(&b->batch, col);
            write_kv(b, p, head - d->n_heads, col, span);
        }
    }
}

/* Where all three weights are of 32-blocks, as in small models, H comes twice: its columns, then as
 * many columns of what their rounding to 8 bits left over, and the two results are added. In
 * SmolLM2-135M this rounding is a third of the variance of the logits' error and Q, K and V are 8 %
 * of the arithmetic. */
void cpu_qkv(struct backend *base, uint32_t layer, const struct qkv_weights *w,
             const struct rope *rope, float q_scale, float eps)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    const uint32_t forms = act_form(w->q) | act_form(w->k) | act_form(w->v);
    const bool has_residuals = forms == ACT_FORM_X32;
    b->phase[b->last_norm].forms |= forms;
    b->phase[b->last_norm].has_residuals = has_residuals;
    struct phase *p = add_phase(b, run_qkv_product, "qkv");
    p->qkv = w;
    p->has_residuals = has_residuals;
    const uint32_t n_cols = has_residuals ? 2 * b->batch.n_cols : b->batch.n_cols;
    set_cost(b, p, product_cost(w->q, n_cols) + product_cost(w->k, n_cols) +
                       product_cost(w->v, n_cols));
    p = add_phase(b, run_heads, "rope");
    set_cost(b, p, ROPE_NS * b->batch.n_cols * (b->ld_q + 2.0 * b->ld_kv));
    p->qkv = w;
    p->has_residuals = has_residuals;
    p->rope = rope;
    p->scale = q_scale * 1.44269504089f;    /* softmax runs in base 2 */
    p->eps = eps;
    p->layer = layer;
}
