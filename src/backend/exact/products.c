/* Matrix products, and the operations that are mostly one: attention_add, gate_up, down_add.
 *
 * A row is dequantised in pieces of 256 weights, each for a handful of columns at a time. Its sum
 * with a column is that of its pieces, in their order, each as exact_dot has it. */
#include <math.h>
#include <string.h>

#include "backend/exact/exact_internal.h"
#include "quant/quant.h"

enum { PIECE = 256, COLS_AT_A_TIME = 32 };

struct product {
    struct rows w;
    const float *x;                 /* (n_cols, n_k) */
    uint32_t n_cols;
    float *out;                     /* (n_cols, w.n) */
};

/* Row `row` of the product's times columns first .. first + n - 1. */
static void product_of_few(const struct product *p, uint32_t row, uint32_t first, uint32_t n)
{
    const struct matrix *m = p->w.m;
    const uint8_t *blocks = m->rows + (size_t)(p->w.first + row) * m->row_bytes;
    const double bias = p->w.bias ? (double)p->w.bias->values[p->w.first + row] : 0;
    const float *x = p->x + (size_t)first * m->n_k;
    float weight[PIECE];
    double sum[COLS_AT_A_TIME] = { 0 };

    for (uint32_t k = 0; k < m->n_k; k += PIECE) {
        const uint32_t n_piece = m->n_k - k < PIECE ? m->n_k - k : PIECE;
        quant_dequantise(m->type, blocks + quant_row_bytes(m->type, k), weight, n_piece);
        for (uint32_t c = 0; c < n; c++)
            sum[c] += exact_dot(weight, x + (size_t)c * m->n_k + k, n_piece);
    }
    for (uint32_t c = 0; c < n; c++)
        p->out[(size_t)(first + c) * p->w.n + row] = (float)(sum[c] + bias);
}

void exact_rows_of(const struct matrix *m, uint32_t first, uint32_t n, const float *x, float *out)
{
    const struct product p = { { m, NULL, first, n }, x, 1, out };
    for (uint32_t row = 0; row < n; row++) product_of_few(&p, row, 0, 1);
}

static void product_row(struct exact_backend *b, const void *arg, uint32_t row)
{
    const struct product *p = arg;
    (void)b;
    for (uint32_t c = 0; c < p->n_cols; c += COLS_AT_A_TIME)
        product_of_few(p, row, c, p->n_cols - c < COLS_AT_A_TIME ? p->n_cols - c : COLS_AT_A_TIME);
}

void exact_product(struct exact_backend *b, const char *name, struct rows w, const float *x,
                   uint32_t n_cols, float *out)
{
    exact_run(b, name, w.n, product_row, &(struct product){ w, x, n_cols, out });
}

/* ---- X += product --------------------------------------------------------------------------- */

struct join {
    float *y;                       /* (n_cols, d_model) */
    const struct residual *r;
};

static void add_column(struct exact_backend *b, const void *arg, uint32_t c)
{
    const struct join *j = arg;
    const struct residual *r = j->r;
    const uint32_t d_model = b->params.dims.d_model;
    const size_t at = (size_t)c * d_model;
    float *x = b->x + at, *y = j->y + at;
    float *held = r->is_held || r->takes_held ? b->held + at : NULL;
    if (r->norm.weight) exact_normed(y, &r->norm, y);
    if (r->is_held) {
        memcpy(held, y, d_model * sizeof *held);
        return;
    }
    for (uint32_t i = 0; i < d_model && r->takes_held; i++) y[i] += held[i];
    if (r->takes_held && r->norm_held.weight) exact_normed(y, &r->norm_held, y);
    for (uint32_t k = 1; k < b->params.dims.n_tracks && r->joins_tracks; k++)
        for (uint32_t i = 0; i < d_model; i++) exact_track(b, k)[at + i] += r->scale * y[i];
    if (r->joins_tracks) return;
    for (uint32_t i = 0; i < d_model; i++) x[i] += r->scale * y[i];
    for (uint32_t i = 0; i < d_model && r->x_scale != 0; i++) x[i] *= r->x_scale;
}

void exact_join(struct exact_backend *b, float *y, const struct residual *r)
{
    exact_run(b, "add", b->batch.n_cols, add_column, &(struct join){ y, r });
}

void exact_attention_add(struct backend *base, const struct linear *w, const struct residual *r)
{
    struct exact_backend *b = (struct exact_backend *)base;
    exact_product(b, "attention out", all_rows(w), b->attended, b->batch.n_cols, b->y);
    exact_join(b, b->y, r);
}

void exact_down_add(struct backend *base, const struct linear *w, const struct residual *r)
{
    struct exact_backend *b = (struct exact_backend *)base;
    exact_product(b, "down", all_rows(w), b->gate, b->batch.n_cols, b->y);
    exact_join(b, b->y, r);
}

/* ---- gated activation ----------------------------------------------------------------------- */

double exact_activated(enum activation activation, double x, double up)
{
    const double alpha = (double)SWIGLU_ALPHA, limit = (double)SWIGLU_LIMIT;
    switch (activation) {
    case ACTIVATION_GELU_TANH:
        return 0.5 * x * (1 + tanh(sqrt(M_2_PI) * (x + 0.044715 * x * x * x))) * up;
    case ACTIVATION_SWIGLU_CLAMPED:
        x = x > limit ? limit : x;
        up = up > limit ? limit : up < -limit ? -limit : up;
        return x / (1 + exp(-alpha * x)) * (up + 1);
    case ACTIVATION_RELU: return x > 0 ? x * up : 0;
    default: return x / (1 + exp(-x)) * up;
    }
}

struct gated {
    uint32_t d;
    const struct ffn_params *p;
};

/* What gates are above their mean and some deviations. */
static void cut_gates(float *gate, uint32_t n, double cut)
{
    const double mean = exact_mean(gate, n);
    const double from = mean + cut * sqrt(exact_squares(gate, mean, n) / n);
    for (uint32_t i = 0; i < n; i++)
        gate[i] = (double)gate[i] > from ? (float)((double)gate[i] - from) : 0;
}

static void activate_column(struct exact_backend *b, const void *arg, uint32_t c)
{
    const struct gated *g = arg;
    float *gate = b->gate + (size_t)c * g->d;
    const float *up = b->up + (size_t)c * g->d;
    if (g->p->has_cut) cut_gates(gate, g->d, (double)g->p->cut);
    for (uint32_t i = 0; i < g->d; i++)
        gate[i] = (float)exact_activated(g->p->activation, (double)gate[i], (double)up[i]);
}

void exact_gated(struct exact_backend *b, struct rows gate, struct rows up,
                 const struct ffn_params *p, const float *h, uint32_t n_cols)
{
    exact_product(b, "gate up", gate, h, n_cols, b->gate);
    exact_product(b, "gate up", up, h, n_cols, b->up);
    exact_run(b, "activation", n_cols, activate_column, &(struct gated){ gate.n, p });
}

void exact_gate_up(struct backend *base, const struct linear *gate, const struct linear *up,
                   const struct ffn_params *p)
{
    struct exact_backend *b = (struct exact_backend *)base;
    exact_gated(b, all_rows(gate), all_rows(up), p, b->h, b->batch.n_cols);
}
