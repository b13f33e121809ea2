/* What stands in attention's place: a convolution over columns, then matrices that go on from
 * column to column, one column after the other whatever step it is in. */
#include <math.h>
#include <string.h>

#include "backend/exact/exact_internal.h"

struct mix {
    const struct mixer_weights *w;
    const struct mixer_params *params;
};

/* The state's part of the layer; NULL of NO_STATE. */
static float *state_of(const struct exact_backend *b, const struct mix *m, uint32_t state)
{
    return state_place(&b->places, b->kv, state, m->params->state_layer);
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double silu(double x)
{
    return x * sigmoid(x);
}

static double softplus(double x)
{
    return x > 30 ? x : log1p(exp(x));
}

/* ---- the convolution ------------------------------------------------------------------------ */

/* (n_channels) what the convolution read `back` columns before column c; NULL: there was none. */
static const float *input_before(const struct exact_backend *b, const struct mix *m, uint32_t c,
                                 uint32_t back)
{
    const struct mixer_dims *d = &b->params.dims.mixer;
    const struct span *s = b->span[c];
    if (back <= c - s->first_col) return b->mix_in + (size_t)(c - back) * d->n_channels;
    const float *state = state_of(b, m, s->state_from);
    const uint32_t before = back - (c - s->first_col);      /* 1: the last input of the state */
    return state ? state + (size_t)(d->n_taps - 1 - before) * d->n_channels : NULL;
}

static void convolve_column(struct exact_backend *b, const void *arg, uint32_t c)
{
    const struct mix *m = arg;
    const struct mixer_dims *d = &b->params.dims.mixer;
    float *out = b->mix_conv + (size_t)c * d->n_channels;
    for (uint32_t i = 0; i < d->n_channels; i++) {
        double sum = 0;
        for (uint32_t tap = 0; tap < d->n_taps; tap++) {
            const float *in = input_before(b, m, c, d->n_taps - 1 - tap);
            const float *weight = m->w->conv->values + (size_t)tap * d->n_channels;
            if (in) sum += (double)in[i] * (double)weight[i];
        }
        out[i] = (float)silu(sum);
    }
}

/* The inputs that come before column `end` of a span, into a state. Those that the state before
 * still has may be there already, and move up. */
static void keep_inputs(struct exact_backend *b, const struct mix *m, const struct span *s,
                        uint32_t end, float *state)
{
    const struct mixer_dims *d = &b->params.dims.mixer;
    const size_t row_bytes = d->n_channels * sizeof *state;
    for (uint32_t i = 0; i < d->n_taps - 1; i++) {          /* i: the oldest first */
        const float *in = input_before(b, m, s->first_col + end - 1, d->n_taps - 2 - i);
        if (in) memmove(state + (size_t)i * d->n_channels, in, row_bytes);
        else memset(state + (size_t)i * d->n_channels, 0, row_bytes);
    }
}

static void keep_inputs_of_span(struct exact_backend *b, const void *arg, uint32_t span)
{
    const struct mix *m = arg;
    const struct span *s = &b->batch.span[span];
    if (s->state_kept != NO_STATE)
        keep_inputs(b, m, s, s->n_kept_cols, state_of(b, m, s->state_kept));
    keep_inputs(b, m, s, s->n_cols, state_of(b, m, s->state_to));
}

/* ---- the matrices --------------------------------------------------------------------------- */

/* A head of a span, and its part of the states. */
struct head {
    uint32_t index;
    float *matrix;              /* (d_key, d_value) */
    size_t n;                   /* floats of it */
};

static struct head head_of(struct exact_backend *b, const struct mix *m, const struct span *s,
                           uint32_t index)
{
    const struct mixer_dims *d = &b->params.dims.mixer;
    const size_t n = (size_t)d->d_key * d->d_value;
    const size_t at = (size_t)(d->n_taps - 1) * d->n_channels + index * n;
    float *to = state_of(b, m, s->state_to) + at;
    const float *from = state_of(b, m, s->state_from);
    if (!from) memset(to, 0, n * sizeof *to);
    else if (from + at != to) memcpy(to, from + at, n * sizeof *to);
    return (struct head){ index, to, n };
}

/* (d_key) divided by its length, times scale. */
static void unit(const float *x, uint32_t n, double scale, double *out)
{
    const double by = scale / sqrt(exact_dot(x, x, n) + 1e-6);
    for (uint32_t i = 0; i < n; i++) out[i] = (double)x[i] * by;
}

/* What the delta net's head makes of column c, into out (d_value). */
static void step_delta(struct exact_backend *b, const struct mix *m, const struct head *h,
                       uint32_t c, float *out)
{
    const struct mixer_dims *d = &b->params.dims.mixer;
    const uint32_t d_model = b->params.dims.d_model, j = h->index;
    const uint32_t key_head = m->params->keys_are_in_turn ? j % d->n_key_heads
                                                          : j / (d->n_heads / d->n_key_heads);
    const float *conv = b->mix_conv + (size_t)c * d->n_channels;
    const float *v = conv + (size_t)2 * d->n_key_heads * d->d_key + j * d->d_value;
    const float *row = b->h + (size_t)c * d_model;
    const double beta = sigmoid(exact_dot(m->w->beta->values + (size_t)j * d_model, row, d_model));
    const double decay = exact_dot(m->w->decay->values + (size_t)j * d_model, row, d_model);
    const double shrink = exp((double)m->w->a->values[j] *
                              softplus(decay + (double)m->w->decay_bias->values[j]));
    double q[BACKEND_MAX_D_STATE], k[BACKEND_MAX_D_STATE];
    double known[BACKEND_MAX_D_STATE] = { 0 }, sum[BACKEND_MAX_D_STATE] = { 0 };

    unit(conv + key_head * d->d_key, d->d_key, 1 / sqrt(d->d_key), q);
    unit(conv + (d->n_key_heads + key_head) * d->d_key, d->d_key, 1, k);
    for (uint32_t i = 0; i < d->d_key; i++)
        for (uint32_t e = 0; e < d->d_value; e++)
            known[e] += k[i] * shrink * (double)h->matrix[i * d->d_value + e];
    for (uint32_t i = 0; i < d->d_key; i++)
        for (uint32_t e = 0; e < d->d_value; e++) {
            float *at = &h->matrix[i * d->d_value + e];
            *at = (float)(shrink * (double)*at + k[i] * beta * ((double)v[e] - known[e]));
            sum[e] += q[i] * (double)*at;
        }
    for (uint32_t e = 0; e < d->d_value; e++) out[e] = (float)sum[e];
}

static void mix_head(struct exact_backend *b, const void *arg, uint32_t item)
{
    const struct mix *m = arg;
    const struct mixer_dims *d = &b->params.dims.mixer;
    const struct span *s = &b->batch.span[item / d->n_heads];
    const struct head h = head_of(b, m, s, item % d->n_heads);
    for (uint32_t c = s->first_col; c < s->first_col + s->n_cols; c++) {
        const size_t at = (size_t)c * mixer_width(d) + h.index * d->d_value;
        float *out = b->attended + at;
        const float *gate = b->mix_gate + at;
        step_delta(b, m, &h, c, out);
        exact_normed(out, &m->w->norm, out);
        for (uint32_t i = 0; i < d->d_value; i++) out[i] *= (float)silu((double)gate[i]);
        if (s->state_kept != NO_STATE && c + 1 == s->first_col + s->n_kept_cols)
            memcpy(state_of(b, m, s->state_kept) + (h.matrix - state_of(b, m, s->state_to)),
                   h.matrix, h.n * sizeof *h.matrix);
    }
}

/* ---- the operation -------------------------------------------------------------------------- */

void exact_mix(struct backend *base, const struct norm *norm, const struct mixer_weights *w,
               const struct mixer_params *p)
{
    struct exact_backend *b = (struct exact_backend *)base;
    const struct mixer_dims *d = &b->params.dims.mixer;
    const uint32_t n_cols = b->batch.n_cols;
    const struct mix m = { w, p };
    (void)norm;                 /* H is what this made of X, in full */
    exact_product(b, "mixer in", all_rows(&w->in), b->h, n_cols, b->mix_in);
    exact_product(b, "mixer in", all_rows(&w->gate), b->h, n_cols, b->mix_gate);
    exact_run(b, "convolution", n_cols, convolve_column, &m);
    exact_run(b, "mixer", b->batch.n_spans * d->n_heads, mix_head, &m);
    exact_run(b, "convolution", b->batch.n_spans, keep_inputs_of_span, &m);
}
