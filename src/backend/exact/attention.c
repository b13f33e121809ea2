/* Q, K and V of a layer, RoPE, the KV pages, and attention over them. */
#include <math.h>
#include <string.h>

#include "backend/exact/exact_internal.h"

/* Of latents there are keys alone, whose beginning is the values. */
float *exact_kv_at(const struct exact_backend *b, const struct attention_params *a,
                   uint32_t kv_head, enum kv_part part, uint32_t col, uint32_t pos)
{
    const uint32_t page = b->span[col]->page[a->kv_group][pos / PAGE_TOKENS];
    const uint64_t layer = kv_place(&b->places, a, page) / sizeof *b->kv;
    const bool are_latents = b->params.dims.latent.d_latent != 0;
    const size_t at = are_latents ? kv_head : (size_t)kv_head * 2 + part;
    const size_t row = at * PAGE_TOKENS + pos % PAGE_TOKENS;
    return b->kv + layer + row * dims_heads(&b->params.dims, a->has_other_heads).d_head;
}

/* ---- Q, K, V -------------------------------------------------------------------------------- */

/* What both operations know of their layer. */
struct attention {
    const struct qkv_weights *w;
    const struct attention_params *params;
};

/* Turns a head as its position wants, and scales it. */
void exact_turn(float *x, uint32_t d_head, const struct rope *rope, uint32_t pos, float scale)
{
    const uint32_t n_rot = rope ? rope->n_rot : 0;
    const float *cos_sin = rope ? rope->cos_sin + (size_t)pos * n_rot : NULL;
    for (uint32_t i = 0; i < n_rot / 2; i++) {
        float *first = rope->is_interleaved ? x + 2 * i : x + i;
        float *second = rope->is_interleaved ? x + 2 * i + 1 : x + i + n_rot / 2;
        const double a = (double)*first, b = (double)*second;
        const double c = (double)cos_sin[2 * i], s = (double)cos_sin[2 * i + 1];
        *first = (float)((a * c - b * s) * (double)scale);
        *second = (float)((a * s + b * c) * (double)scale);
    }
    for (uint32_t i = n_rot; i < d_head; i++) x[i] *= scale;
}

/* is_later: norms of heads come after they are turned. */
static void prepare_heads(const struct rope *rope, const struct norm *norm, bool is_later,
                          uint32_t n_heads, uint32_t d_head, uint32_t pos, float scale, float *x)
{
    const bool is_of_heads = norm->weight && norm->weight->n == d_head;
    if (norm->weight && !is_of_heads) exact_normed(x, norm, x);
    for (uint32_t head = 0; head < n_heads; head++, x += d_head) {
        if (is_of_heads && !is_later) exact_normed(x, norm, x);
        exact_turn(x, d_head, rope, pos, is_later ? 1 : scale);
        if (is_of_heads && is_later) exact_normed(x, norm, x);
        for (uint32_t i = 0; i < d_head && is_later; i++) x[i] *= scale;
    }
}

float exact_q_scale(const struct attention_params *a, uint32_t pos)
{
    return a->q_scales ? a->q_scale * a->q_scales->values[pos] : a->q_scale;
}

static void prepare_column(struct exact_backend *b, const void *arg, uint32_t c)
{
    const struct attention *l = arg;
    const struct rope *rope = l->params->rope;
    const struct heads d = dims_heads(&b->params.dims, l->params->has_other_heads);
    const uint32_t pos = b->batch.pos[c];
    float *q = b->q + (size_t)c * d.n_heads * d.d_head;
    float *k = b->k + (size_t)c * d.n_kv_heads * d.d_head;
    float *v = b->v + (size_t)c * d.n_kv_heads * d.d_head;

    prepare_heads(rope, &l->w->norm_q, l->w->norms_turned, d.n_heads, d.d_head, pos,
                  exact_q_scale(l->params, pos), q);
    if (!l->w->k.weight) return;
    prepare_heads(rope, &l->w->norm_k, l->w->norms_turned, d.n_kv_heads, d.d_head, pos, 1, k);
    prepare_heads(NULL, &l->w->norm_v, false, d.n_kv_heads, d.d_head, pos, 1, v);
    for (uint32_t head = 0; head < d.n_kv_heads; head++) {
        memcpy(exact_kv_at(b, l->params, head, KEYS, c, pos), k + head * d.d_head,
               d.d_head * sizeof *k);
        memcpy(exact_kv_at(b, l->params, head, VALUES, c, pos), v + head * d.d_head,
               d.d_head * sizeof *v);
    }
}

void exact_qkv(struct backend *base, const struct qkv_weights *w,
               const struct attention_params *a)
{
    struct exact_backend *b = (struct exact_backend *)base;
    const uint32_t n_cols = b->batch.n_cols;
    exact_product(b, "qkv", all_rows(&w->q), b->h, n_cols, b->q);
    if (w->k.weight) exact_product(b, "qkv", all_rows(&w->k), b->h, n_cols, b->k);
    if (w->v.weight) exact_product(b, "qkv", all_rows(&w->v), b->h, n_cols, b->v);
    if (w->gate.weight) exact_product(b, "qkv", all_rows(&w->gate), b->h, n_cols, b->gates);
    exact_run(b, "rope", n_cols, prepare_column, &(struct attention){ w, a });
}

/* ---- attention ------------------------------------------------------------------------------ */

/* One query head of one column, position by position: the softmax's weights are those of the
 * largest score so far, and what was summed up shrinks where a larger one comes (Milakov and
 * Gimelshein, 2018), so that no room grows with the context. */
static void attend_head(struct exact_backend *b, const void *arg, uint32_t item)
{
    const struct attention *l = arg;
    const struct attention_params *a = l->params;
    const struct heads d = dims_heads(&b->params.dims, a->has_other_heads);
    const uint32_t c = item / d.n_heads, head = item % d.n_heads, pos = b->batch.pos[c];
    const uint32_t kv_head = head / (d.n_heads / d.n_kv_heads);
    const uint32_t first = window_start(pos, attention_window(a));
    const float *q = b->q + (size_t)item * d.d_head;
    const struct vector *sinks = l->w->sinks;
    double largest = sinks ? (double)sinks->values[head] : -INFINITY;
    double total = sinks ? 1 : 0, sum[BACKEND_MAX_D_HEAD] = { 0 };

    for (uint32_t p = first; p <= pos; p++) {
        const float *k = exact_kv_at(b, a, kv_head, KEYS, c, p);
        const double score = exact_capped(exact_dot(q, k, d.d_head), a->score_cap);
        const float *v = exact_kv_at(b, a, kv_head, VALUES, c, p);
        if (score > largest) {
            const double shrink = exp(largest - score);
            total *= shrink;
            for (uint32_t i = 0; i < d.d_head; i++) sum[i] *= shrink;
            largest = score;
        }
        const double weight = exp(score - largest);
        total += weight;
        for (uint32_t i = 0; i < d.d_head; i++) sum[i] += weight * (double)v[i];
    }
    float *out = b->attended + (size_t)item * d.d_head;
    const float *gate = l->w->gate.weight ? b->gates + (size_t)item * d.d_head : NULL;
    for (uint32_t i = 0; i < d.d_head; i++)
        out[i] = (float)(sum[i] / total * (gate ? 1 / (1 + exp(-(double)gate[i])) : 1));
}

void exact_attend(struct backend *base, const struct qkv_weights *w,
                  const struct attention_params *a)
{
    struct exact_backend *b = (struct exact_backend *)base;
    const uint32_t n_heads = dims_heads(&b->params.dims, a->has_other_heads).n_heads;
    exact_run(b, "attend", b->batch.n_cols * n_heads, attend_head, &(struct attention){ w, a });
}
