/* Attention over latents: what its queries and keys are made of, and what becomes of its sums. */
#include <string.h>

#include "backend/exact/exact_internal.h"

/* What the items of an operation know. */
struct latents {
    const struct latent_weights *w;
    const struct attention_params *params;
};

static void norm_query(struct exact_backend *b, const void *arg, uint32_t c)
{
    const struct norm *norm = arg;
    float *row = b->low + (size_t)c * b->params.dims.latent.d_query;
    exact_normed(row, norm, row);
}

/* A head's slice of x, (n_cols, ld), times its rows of w, into `out` of a column. */
struct head_product {
    const struct linear *w;
    const float *x;
    uint32_t ld, step;              /* of x; from one head's slice to the next */
    float *out;                     /* (n_cols, n_heads * out_step) */
    uint32_t n_rows, out_step;      /* of each head */
};

/* A column's head is a product of one column. Rows are dequantised for each: this is exact, not
 * fast. */
static void head_product_item(struct exact_backend *b, const void *arg, uint32_t item)
{
    const struct head_product *p = arg;
    const uint32_t n_heads = b->params.dims.n_heads, c = item / n_heads, head = item % n_heads;
    const float *x = p->x + (size_t)c * p->ld + (size_t)head * p->step;
    float *out = p->out + (size_t)item * p->out_step;
    exact_rows_of(p->w->weight, head * p->n_rows, p->n_rows, x, out);
}

/* ---- Q and the latents ----------------------------------------------------------------------- */

static void prepare_latent_column(struct exact_backend *b, const void *arg, uint32_t c)
{
    const struct latents *l = arg;
    const struct attention_params *a = l->params;
    const struct dims *d = &b->params.dims;
    const uint32_t r = d->latent.d_latent, n_turned = d->latent.d_turned;
    const uint32_t d_raw = d->latent.d_plain + n_turned, pos = b->batch.pos[c];
    const float scale = exact_q_scale(a, pos);
    for (uint32_t head = 0; head < d->n_heads; head++) {
        const size_t at = (size_t)c * d->n_heads + head;
        float *q = b->q + at * d->d_head;
        memcpy(q + r, b->q_raw + at * d_raw + d->latent.d_plain, n_turned * sizeof *q);
        memset(q + r + n_turned, 0, (d->d_head - r - n_turned) * sizeof *q);
        for (uint32_t i = 0; i < r; i++) q[i] *= scale;
        exact_turn(q + r, n_turned, a->rope, pos, scale);
    }
    const float *row = b->k + (size_t)c * (r + n_turned);
    float *key = exact_kv_at(b, a, 0, KEYS, c, pos);
    memset(key, 0, d->d_head * sizeof *key);
    exact_normed(row, &l->w->norm_kv, key);
    memcpy(key + r, row + r, n_turned * sizeof *key);
    exact_turn(key + r, n_turned, a->rope, pos, 1);
}

void exact_latent_qkv(struct backend *base, const struct latent_weights *w,
                      const struct attention_params *a)
{
    struct exact_backend *b = (struct exact_backend *)base;
    const struct dims *d = &b->params.dims;
    const struct latent_dims *l = &d->latent;
    const uint32_t n_cols = b->batch.n_cols, d_raw = l->d_plain + l->d_turned;
    const float *from = b->h;
    if (w->q_down.weight) {
        exact_product(b, "qkv", all_rows(&w->q_down), b->h, n_cols, b->low);
        exact_run(b, "qkv", n_cols, norm_query, &w->norm_q);
        from = b->low;
    }
    exact_product(b, "qkv", all_rows(&w->q), from, n_cols, b->q_raw);
    exact_product(b, "qkv", all_rows(&w->kv), b->h, n_cols, b->k);
    const struct head_product absorb = { &w->absorb, b->q_raw, d->n_heads * d_raw, d_raw,
                                         b->q, l->d_latent, d->d_head };
    exact_run(b, "absorb", n_cols * d->n_heads, head_product_item, &absorb);
    exact_run(b, "rope", n_cols, prepare_latent_column, &(struct latents){ w, a });
}

/* ---- what sums of latents become ------------------------------------------------------------- */

void exact_latent_values(struct backend *base, const struct latent_weights *w)
{
    struct exact_backend *b = (struct exact_backend *)base;
    const struct dims *d = &b->params.dims;
    const struct latent_dims *l = &d->latent;
    const struct head_product value = { &w->value, b->attended, d->n_heads * d->d_head,
                                        d->d_head, b->q_raw, l->d_value, l->d_value };
    exact_run(b, "values", b->batch.n_cols * d->n_heads, head_product_item, &value);
    memcpy(b->attended, b->q_raw, (size_t)b->batch.n_cols * d->n_heads * l->d_value *
                                      sizeof *b->attended);
}
