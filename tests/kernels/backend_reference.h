/* The forward pass of tiny_backend.h in double precision, written from the words of backend.h
 * alone: no pages, no batches, no quantised activations. */
#ifndef TESTS_KERNELS_BACKEND_REFERENCE_H
#define TESTS_KERNELS_BACKEND_REFERENCE_H

#include "tiny_backend.h"

enum { REF_MAX = 512 };     /* values of a row at most */

/* Keys and values of every position of one stream. */
struct ref_cache {
    double k[TINY_LAYERS][TINY_POSITIONS][REF_MAX], v[TINY_LAYERS][TINY_POSITIONS][REF_MAX];
};

static inline void ref_row(const struct tiny_matrix *m, uint32_t row, float *out)
{
    quant_dequantise(m->type->type, m->rows + row * quant_row_bytes(m->type->type, m->n_k), out,
                     m->n_k);
}

static inline void ref_product(const struct tiny_matrix *m, const double *x, double *y)
{
    float row[REF_MAX];
    for (uint32_t i = 0; i < m->n_rows; i++) {
        ref_row(m, i, row);
        y[i] = 0;
        for (uint32_t k = 0; k < m->n_k; k++) y[i] += row[k] * x[k];
    }
}

/* A NULL weight leaves x as it is. */
static inline void ref_norm(const float *weight, const double *x, uint32_t n, double *y)
{
    double squares = 0;
    for (uint32_t i = 0; i < n; i++) squares += x[i] * x[i];
    const double scale = 1 / sqrt(squares / n + tiny_eps);
    for (uint32_t i = 0; i < n; i++) y[i] = weight ? x[i] * scale * weight[i] : x[i];
}

static inline void ref_rope(const struct tiny *t, uint32_t pos, double *x)
{
    const uint32_t d = t->shape->d_head;
    for (uint32_t i = 0; i < d / 2; i++) {
        const uint32_t a = t->shape->is_interleaved ? 2 * i : i;
        const uint32_t b = t->shape->is_interleaved ? 2 * i + 1 : i + d / 2;
        const double angle = pos * pow(1e4, -2.0 * i / d), first = x[a], second = x[b];
        x[a] = first * cos(angle) - second * sin(angle);
        x[b] = first * sin(angle) + second * cos(angle);
    }
}

/* Bias, head norm, RoPE, in this order, of n_heads heads. */
static inline void ref_heads(const struct tiny *t, const float *bias, const float *norm,
                             uint32_t n_heads, uint32_t pos, bool turns, double *x)
{
    const uint32_t d = t->shape->d_head;
    for (uint32_t i = 0; bias && i < n_heads * d; i++) x[i] += bias[i];
    for (uint32_t h = 0; h < n_heads && turns; h++) {
        ref_norm(norm, x + h * d, d, x + h * d);
        ref_rope(t, pos, x + h * d);
    }
}

static inline void ref_attend(const struct tiny *t, const struct ref_cache *c, uint32_t layer,
                              uint32_t pos, const double *q, double *out)
{
    const struct tiny_shape *s = t->shape;
    const uint32_t d = s->d_head, window = s->window[layer];
    const uint32_t first = window && pos + 1 > window ? pos + 1 - window : 0;

    for (uint32_t h = 0; h < s->n_heads; h++) {
        const uint32_t at = h / (s->n_heads / s->n_kv_heads) * d;
        double weight[TINY_POSITIONS], total = 0;
        for (uint32_t p = first; p <= pos; p++) {
            weight[p] = 0;
            for (uint32_t i = 0; i < d; i++) weight[p] += q[h * d + i] * c->k[layer][p][at + i];
            total += weight[p] = exp(weight[p] / sqrt(d));
        }
        for (uint32_t i = 0; i < d; i++) {
            out[h * d + i] = 0;
            for (uint32_t p = first; p <= pos; p++)
                out[h * d + i] += weight[p] / total * c->v[layer][p][at + i];
        }
    }
}

static inline double ref_activation(enum activation activation, double x)
{
    if (activation == ACTIVATION_SILU) return x / (1 + exp(-x));
    return 0.5 * x * (1 + tanh(0.79788456080286536 * (x + 0.044715 * x * x * x)));
}

/* y += weight * down(activation(gate h) * up h), the matrices' rows from one expert's first on. */
static inline void ref_gated(const struct tiny *t, const struct tiny_matrix *gate,
                             const struct tiny_matrix *up, const struct tiny_matrix *down,
                             uint32_t expert, uint32_t n, const double *h, double weight, double *y)
{
    const uint32_t d_model = t->shape->d_model;
    const struct tiny_matrix *all[] = { gate, up, down };
    struct tiny_matrix part[3];
    double a[REF_MAX], b[REF_MAX], out[REF_MAX];

    for (int i = 0; i < 3; i++) {
        part[i] = *all[i];
        part[i].n_rows = i < 2 ? n : d_model;
        part[i].rows += (size_t)expert * part[i].n_rows *
                        quant_row_bytes(all[i]->type->type, all[i]->n_k);
    }
    ref_product(&part[0], h, a);
    ref_product(&part[1], h, b);
    for (uint32_t i = 0; i < n; i++) a[i] = ref_activation(t->shape->activation, a[i]) * b[i];
    ref_product(&part[2], a, out);
    for (uint32_t i = 0; i < d_model; i++) y[i] += weight * out[i];
}

/* x += the mixture of h: experts are taken by falling score until enough are found. */
static inline void ref_mixture(const struct tiny *t, const struct tiny_layer *l, const double *h,
                               double *x)
{
    const struct tiny_shape *s = t->shape;
    const struct tiny_matrix *m = l->matrix;
    double score[64], all = 0, chosen = 0, gate = 0;
    bool is_taken[64] = { false };

    for (uint32_t e = 0; e < s->n_experts; e++) {
        score[e] = 0;
        for (uint32_t i = 0; i < s->d_model; i++)
            score[e] += h[i] * l->router.values[e * s->d_model + i];
        all += exp(score[e]);
    }
    for (int pass = 0; pass < 2; pass++) {      /* first to know their sum, then to compute */
        memset(is_taken, 0, sizeof is_taken);
        for (uint32_t n = 0; n < s->n_experts_used; n++) {
            uint32_t best = s->n_experts;
            for (uint32_t e = 0; e < s->n_experts; e++)
                if (!is_taken[e] && (best == s->n_experts || score[e] > score[best])) best = e;
            is_taken[best] = true;
            if (pass == 0) chosen += exp(score[best]);
            else
                ref_gated(t, &m[IN_EXPERT_GATE], &m[IN_EXPERT_UP], &m[IN_EXPERT_DOWN], best,
                          s->d_expert, h, exp(score[best]) / (s->is_normalised ? chosen : all), x);
        }
    }
    if (!s->d_ff) return;
    for (uint32_t i = 0; i < s->d_model; i++) gate += h[i] * l->shared_router.values[i];
    ref_gated(t, &m[IN_GATE], &m[IN_UP], &m[IN_DOWN], 0, s->d_ff, h, 1 / (1 + exp(-gate)), x);
}

static inline void ref_layer(const struct tiny *t, struct ref_cache *c, uint32_t layer,
                             uint32_t pos, double *x)
{
    const struct tiny_shape *s = t->shape;
    const struct tiny_layer *l = &t->layer[layer];
    double h[REF_MAX], q[REF_MAX], attended[REF_MAX], y[REF_MAX], gate[REF_MAX], up[REF_MAX];

    ref_norm(l->norm.values, x, s->d_model, h);
    ref_product(&l->matrix[IN_Q], h, q);
    ref_product(&l->matrix[IN_K], h, c->k[layer][pos]);
    ref_product(&l->matrix[IN_V], h, c->v[layer][pos]);
    ref_heads(t, l->bias[0].values, l->norm_q.values, s->n_heads, pos, true, q);
    ref_heads(t, l->bias[1].values, l->norm_k.values, s->n_kv_heads, pos, true, c->k[layer][pos]);
    ref_heads(t, l->bias[2].values, NULL, s->n_kv_heads, pos, false, c->v[layer][pos]);
    ref_attend(t, c, layer, pos, q, attended);
    ref_product(&l->matrix[IN_O], attended, y);
    ref_norm(l->post_norm.values, y, s->d_model, y);
    for (uint32_t i = 0; i < s->d_model; i++) x[i] += y[i];

    ref_norm(l->ff_norm.values, x, s->d_model, h);
    if (s->n_experts) {
        ref_mixture(t, l, h, x);
        return;
    }
    ref_product(&l->matrix[IN_GATE], h, gate);
    ref_product(&l->matrix[IN_UP], h, up);
    for (uint32_t i = 0; i < s->d_ff; i++) gate[i] = ref_activation(s->activation, gate[i]) * up[i];
    ref_product(&l->matrix[IN_DOWN], gate, y);
    ref_norm(l->post_ff_norm.values, y, s->d_model, y);
    for (uint32_t i = 0; i < s->d_model; i++) x[i] += y[i];
}

/* Logits of the stream's token at `pos`; earlier positions are in the cache already. */
static inline void ref_logits(const struct tiny *t, struct ref_cache *c, uint32_t stream,
                              uint32_t pos, double *logits)
{
    const struct tiny_shape *s = t->shape;
    double x[REF_MAX];
    float row[REF_MAX];

    ref_row(&t->embedding, (uint32_t)t->token[stream][pos], row);
    for (uint32_t i = 0; i < s->d_model; i++) x[i] = (double)row[i] * s->embed_scale;
    for (uint32_t layer = 0; layer < TINY_LAYERS; layer++) ref_layer(t, c, layer, pos, x);
    ref_norm(t->head_norm.values, x, s->d_model, x);
    ref_product(&t->head, x, logits);
}

#endif
