/* Q, K and V of a layer, RoPE, and the KV pages they go to. */
#include <math.h>

#include "backend/cpu/phase.h"
#include "backend/cpu/product.h"

/* The three products are one range of panels, so that the split is even whatever their sizes. */
static void run_qkv_product(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct {
        const struct matrix *m;
        float *out;
        size_t ld;
    } parts[] = {
        { p->qkv->q.weight, b->q, b->ld_q },
        { p->qkv->k.weight, b->k_rows, b->ld_kv },
        { p->qkv->v.weight, b->v_rows, b->ld_kv },
    };
    const uint32_t n_cols = p->has_leftovers ? 2 * b->batch.n_cols : b->batch.n_cols;
    const int n_parts = parts[1].m ? 3 : 1;
    uint32_t n_all = 0, start = 0;
    for (int i = 0; i < n_parts; i++) n_all += parts[i].m->n_panels;
    const struct range all = range_of(n_all, part);
    for (int i = 0; i < n_parts; i++) {
        const uint32_t end = start + parts[i].m->n_panels;
        const struct range mine = { (all.first > start ? all.first : start) - start,
                                    (all.last < end ? all.last : end) - start };
        if (all.first < end && all.last > start)
            product_panels(b, parts[i].m, &b->h, n_cols, mine, parts[i].out, parts[i].ld);
        start = end;
    }
}

/* Adds to n results of a column's product, `ld` floats a column, what its rounding left over and
 * the bias, and norms them. bias, norm: NULL where there is none. */
static void complete(const struct cpu_backend *b, const struct phase *p, float *x, size_t ld,
                     const float *bias, const struct norm *norm, uint32_t n)
{
    if (p->has_leftovers) b->k.add(x, x + b->batch.n_cols * ld, n);
    if (bias) b->k.add(x, bias, n);
    if (norm && norm->weight) norm_values(b, norm, x, n, x);
}

/* As the kernel turns whole registers, any number of pairs. */
static void turn_pairs(float *x, const float *cos_sin, const struct rope *rope, float scale)
{
    for (uint32_t i = 0; i < rope->n_rot / 2; i++) {
        float *first = rope->is_interleaved ? x + 2 * i : x + i;
        float *second = rope->is_interleaved ? x + 2 * i + 1 : x + i + rope->n_rot / 2;
        const float a = *first, b = *second, c = cos_sin[2 * i], s = cos_sin[2 * i + 1];
        *first = fmaf(a, c, -(b * s)) * scale;
        *second = fmaf(a, s, b * c) * scale;
    }
}

/* What rope leaves alone is scaled all the same. */
void turn_head(const struct cpu_backend *b, const struct rope *rope, float *head, uint32_t d_head,
               uint32_t pos, float scale)
{
    const uint32_t n_rot = rope ? rope->n_rot : 0;
    const float *cos_sin = rope ? rope->cos_sin + (size_t)pos * n_rot : NULL;
    if (n_rot % 32) turn_pairs(head, cos_sin, rope, scale);
    else if (rope) b->k.rope(head, cos_sin, n_rot, rope->is_interleaved, scale);
    for (uint32_t i = n_rot; i < d_head; i++) head[i] *= scale;
}

/* Whether norms are of all heads together: these come before, in a phase of their own. */
static bool has_row_norms(const struct qkv_weights *w, uint32_t d_head)
{
    return w->norm_q.weight && w->norm_q.weight->n != d_head;
}

static void norm_row_of(const struct cpu_backend *b, const struct phase *p, float *row, size_t ld,
                        const struct vector *bias, const struct norm *norm)
{
    complete(b, p, row, ld, bias ? bias->values : NULL, norm, norm->weight->n);
}

static void run_row_norms(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct qkv_weights *w = p->qkv;
    const struct range cols = range_of(b->batch.n_cols, part);
    for (uint32_t c = cols.first; c < cols.last; c++) {
        norm_row_of(b, p, b->q + c * b->ld_q, b->ld_q, w->q.bias, &w->norm_q);
        if (!w->k.weight) continue;
        norm_row_of(b, p, b->k_rows + c * b->ld_kv, b->ld_kv, w->k.bias, &w->norm_k);
    }
}

static void prepare_head(const struct cpu_backend *b, const struct phase *p, float *head, size_t ld,
                         const float *bias, const struct norm *norm, uint32_t pos, float scale)
{
    const uint32_t d_head = heads_of(b, p->attention).d_head;
    const bool is_later = p->qkv->norms_turned;
    if (!has_row_norms(p->qkv, d_head))
        complete(b, p, head, ld, bias, is_later ? NULL : norm, d_head);
    turn_head(b, p->attention->rope, head, d_head, pos, is_later ? 1 : scale);
    if (!is_later) return;
    norm_values(b, norm, head, d_head, head);
    for (uint32_t i = 0; i < d_head; i++) head[i] *= scale;
}

const struct span *span_of(const struct batch *batch, uint32_t col)
{
    const struct span *s = batch->span;
    while (col - s->first_col >= s->n_cols) s++;    /* spans come in any order */
    return s;
}

static void write_kv(struct cpu_backend *b, const struct phase *p, uint32_t head, uint32_t col,
                     const struct span *span)
{
    const uint32_t d_head = heads_of(b, p->attention).d_head, pos = b->batch.pos[col];
    float *k = b->k_rows + col * b->ld_kv + head * d_head;
    float *v = b->v_rows + col * b->ld_kv + head * d_head;
    const struct vector *bias_k = p->qkv->k.bias, *bias_v = p->qkv->v.bias;

    if (keeps_bias_out(b, p->qkv)) bias_k = NULL;
    prepare_head(b, p, k, b->ld_kv, bias_k ? bias_k->values + head * d_head : NULL,
                 &p->qkv->norm_k, pos, 1);
    complete(b, p, v, b->ld_kv, bias_v ? bias_v->values + head * d_head : NULL,
             &p->qkv->norm_v, d_head);
    const struct attention_params *a = p->attention;
    b->k.kv_write(kv_of(b, a, span->page[a->kv_group][pos / PAGE_TOKENS], head), layout_of(b, a),
                  pos % PAGE_TOKENS, k, v);
}

float scale_at(const struct phase *p, uint32_t pos)
{
    const struct vector *scales = p->attention->q_scales;
    return scales ? p->scale * scales->values[pos] : p->scale;
}

/* Items are heads, queries first, times columns; the columns of a KV head stay on one thread where
 * the split allows, since neighbouring tokens share cache lines of a page. */
static void run_heads(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct heads d = heads_of(b, p->attention);
    const uint32_t n_cols = b->batch.n_cols, n_kv_heads = p->qkv->k.weight ? d.n_kv_heads : 0;
    const struct vector *bias_q = p->qkv->q.bias;
    const struct range items = range_of((d.n_heads + n_kv_heads) * n_cols, part);
    const struct span *span = NULL;

    for (uint32_t i = items.first; i < items.last; i++) {
        const uint32_t head = i / n_cols, col = i % n_cols;
        if (head < d.n_heads) {
            prepare_head(b, p, b->q + col * b->ld_q + head * d.d_head, b->ld_q,
                         bias_q ? bias_q->values + head * d.d_head : NULL, &p->qkv->norm_q,
                         b->batch.pos[col], scale_at(p, b->batch.pos[col]));
        } else {
            if (!span || col - span->first_col >= span->n_cols) span = span_of(&b->batch, col);
            write_kv(b, p, head - d.n_heads, col, span);
        }
    }
}

/* Where all three weights are of 32-blocks, as in small models, H comes twice: its columns, then as
 * many columns of what their rounding to 8 bits left over, and the two results are added. In
 * SmolLM2-135M this rounding is a third of the variance of the logits' error and Q, K and V are 8 %
 * of the arithmetic. */
void cpu_qkv(struct backend *base, const struct qkv_weights *w, const struct attention_params *a)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    const struct matrix *q = w->q.weight, *k = w->k.weight, *v = w->v.weight;
    const uint32_t forms = act_form(q) | (k ? act_form(k) | act_form(v) : 0);
    const bool has_leftovers = forms == ACT_FORM_X32;
    if (w->gate.weight) {
        phase_want_forms(b, b->writer.h, act_form(w->gate.weight));
        product_record(b, "qkv", &w->gate, &b->h, b->gates, b->ld_q);
    }
    phase_want_forms(b, b->writer.h, forms);
    b->phase[b->writer.h].has_leftovers = has_leftovers;
    struct phase *p = phase_add(b, run_qkv_product, "qkv");
    p->qkv = w;
    p->has_leftovers = has_leftovers;
    const uint32_t n_cols = has_leftovers ? 2 * b->batch.n_cols : b->batch.n_cols;
    const double kv_cost = k ? product_cost(k, n_cols) + product_cost(v, n_cols) : 0;
    phase_set_cost(b, p, product_cost(q, n_cols) + kv_cost);
    if (has_row_norms(w, heads_of(b, a).d_head)) {
        p = phase_add(b, run_row_norms, "norm");
        p->qkv = w;
        p->has_leftovers = has_leftovers;
        phase_set_cost(b, p, NORM_NS * b->batch.n_cols * (double)(b->ld_q + b->ld_kv));
    }
    p = phase_add(b, run_heads, "rope");
    phase_set_cost(b, p, ROPE_NS * b->batch.n_cols * (b->ld_q + 2.0 * b->ld_kv));
    p->qkv = w;
    p->has_leftovers = has_leftovers;
    p->attention = a;
    p->scale = a->q_scale * LOG2_E;
}
