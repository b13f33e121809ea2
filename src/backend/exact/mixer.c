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
    const bool is_short = m->params->kind == MIXER_SHORT_CONVOLUTION;
    float *out = b->mix_conv + (size_t)c * d->n_channels;
    for (uint32_t i = 0; i < d->n_channels; i++) {
        double sum = m->w->conv_bias ? (double)m->w->conv_bias->values[i] : 0;
        for (uint32_t tap = 0; tap < d->n_taps; tap++) {
            const float *in = input_before(b, m, c, d->n_taps - 1 - tap);
            const float *weight = m->w->conv->values + (size_t)tap * d->n_channels;
            if (in) sum += (double)in[i] * (double)weight[i];
        }
        out[i] = (float)(is_short ? sum : silu(sum));
    }
}

/* What a short convolution reads: before, which waits in mix_conv, times in. */
static void multiply_column(struct exact_backend *b, const void *arg, uint32_t c)
{
    const uint32_t n = b->params.dims.mixer.n_channels;
    (void)arg;
    for (size_t i = (size_t)c * n; i < (size_t)(c + 1) * n; i++) b->mix_in[i] *= b->mix_conv[i];
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

/* What a head reads of a column. */
struct column {
    double q[BACKEND_MAX_D_STATE], k[BACKEND_MAX_D_STATE];
    const float *v;             /* (d_value) */
    double dt, shrink;
    double rate;                /* delta net: of what is known wrongly */
};

static double head_dot(const struct exact_backend *b, const struct vector *rows, uint32_t head,
                       uint32_t c)
{
    const size_t d_model = b->params.dims.d_model;
    return exact_dot(rows->values + head * d_model, b->h + c * d_model, (uint32_t)d_model);
}

static void read_column(const struct exact_backend *b, const struct mix *m, uint32_t head,
                        uint32_t c, struct column *out)
{
    const struct mixer_dims *d = &b->params.dims.mixer;
    const uint32_t n_keys = d->n_key_heads * d->d_key;
    const float *conv = b->mix_conv + (size_t)c * d->n_channels;
    const uint32_t at = mixer_key_head(m->params, d, head) * d->d_key;
    out->dt = softplus(head_dot(b, m->w->decay, head, c) + (double)m->w->decay_bias->values[head]);
    out->shrink = exp((double)m->w->a->values[head] * out->dt);
    if (m->params->kind == MIXER_DELTA_NET) {
        out->v = conv + 2 * n_keys + head * d->d_value;
        unit(conv + at, d->d_key, 1 / sqrt(d->d_key), out->q);
        unit(conv + n_keys + at, d->d_key, 1, out->k);
        out->rate = sigmoid(head_dot(b, m->w->beta, head, c));
        return;
    }
    const float *k = conv + mixer_width(d) + at, *q = k + n_keys;
    out->v = conv + head * d->d_value;
    for (uint32_t i = 0; i < d->d_key; i++) {
        out->k[i] = (double)k[i];
        out->q[i] = (double)q[i];
    }
}

/* What a head's matrix gets for the column's key, (d_value). */
static void find_change(const struct exact_backend *b, const struct mix *m, const struct head *h,
                        const struct column *in, double *change)
{
    const struct mixer_dims *d = &b->params.dims.mixer;
    const bool is_delta = m->params->kind == MIXER_DELTA_NET;
    double known[BACKEND_MAX_D_STATE] = { 0 };
    for (uint32_t i = 0; i < d->d_key && is_delta; i++)
        for (uint32_t e = 0; e < d->d_value; e++)
            known[e] += in->k[i] * in->shrink * (double)h->matrix[i * d->d_value + e];
    for (uint32_t e = 0; e < d->d_value; e++)
        change[e] = is_delta ? in->rate * ((double)in->v[e] - known[e]) : in->dt * (double)in->v[e];
}

/* A head's matrix goes on by column c; out: (d_value) what comes out of it. */
static void step_head(const struct exact_backend *b, const struct mix *m, const struct head *h,
                      uint32_t c, float *out)
{
    const struct mixer_dims *d = &b->params.dims.mixer;
    struct column in;
    double change[BACKEND_MAX_D_STATE], sum[BACKEND_MAX_D_STATE] = { 0 };
    read_column(b, m, h->index, c, &in);
    find_change(b, m, h, &in, change);
    for (uint32_t i = 0; i < d->d_key; i++)
        for (uint32_t e = 0; e < d->d_value; e++) {
            float *at = &h->matrix[i * d->d_value + e];
            *at = (float)(in.shrink * (double)*at + in.k[i] * change[e]);
            sum[e] += in.q[i] * (double)*at;
        }
    const double skip = m->w->skip ? (double)m->w->skip->values[h->index] : 0;
    for (uint32_t e = 0; e < d->d_value; e++) out[e] = (float)(sum[e] + skip * (double)in.v[e]);
}

static void mix_head(struct exact_backend *b, const void *arg, uint32_t item)
{
    const struct mix *m = arg;
    const struct mixer_dims *d = &b->params.dims.mixer;
    const struct span *s = &b->batch.span[item / d->n_heads];
    const struct head h = head_of(b, m, s, item % d->n_heads);
    for (uint32_t c = s->first_col; c < s->first_col + s->n_cols; c++) {
        step_head(b, m, &h, c, b->attended + (size_t)c * mixer_width(d) + h.index * d->d_value);
        if (s->state_kept != NO_STATE && c + 1 == s->first_col + s->n_kept_cols)
            memcpy(state_of(b, m, s->state_kept) + (h.matrix - state_of(b, m, s->state_to)),
                   h.matrix, h.n * sizeof *h.matrix);
    }
}

/* ---- what comes out ------------------------------------------------------------------------- */

/* Norms n_parts of a column's row, each with its own weights where these are many. */
static void norm_parts(const struct norm *norm, uint32_t n_parts, uint32_t n, float *row)
{
    for (uint32_t i = 0; i < n_parts && norm->weight; i++) {
        const struct vector weight = { norm->weight->values + (norm->weight->n > n ? i * n : 0),
                                       n };
        const struct norm part = { &weight, norm->eps, norm->is_centred };
        exact_normed(row + i * n, &part, row + i * n);
    }
}

static void finish_column(struct exact_backend *b, const void *arg, uint32_t c)
{
    const struct mix *m = arg;
    const struct mixer_dims *d = &b->params.dims.mixer;
    const uint32_t width = mixer_width(d);
    float *out = b->attended + (size_t)c * width;
    const float *gate = b->mix_gate + (size_t)c * width;
    const float *conv = b->mix_conv + (size_t)c * d->n_channels;
    switch (m->params->kind) {
    case MIXER_DELTA_NET:
        norm_parts(&m->w->norm, d->n_heads, d->d_value, out);
        for (uint32_t i = 0; i < width; i++) out[i] *= (float)silu((double)gate[i]);
        break;
    case MIXER_STATE_SPACE:
        for (uint32_t i = 0; i < width; i++) out[i] *= (float)silu((double)gate[i]);
        norm_parts(&m->w->norm, d->n_key_heads, width / d->n_key_heads, out);
        break;
    default:
        for (uint32_t i = 0; i < width; i++) out[i] = conv[i] * gate[i];
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
    if (w->before.weight) {
        exact_product(b, "mixer in", all_rows(&w->before), b->h, n_cols, b->mix_conv);
        exact_run(b, "convolution", n_cols, multiply_column, NULL);
    }
    exact_run(b, "convolution", n_cols, convolve_column, &m);
    exact_run(b, "mixer", b->batch.n_spans * d->n_heads, mix_head, &m);
    exact_run(b, "convolution", b->batch.n_spans, keep_inputs_of_span, &m);
    exact_run(b, "mixer", n_cols, finish_column, &m);
}
