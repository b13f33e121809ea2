/* What stands in attention's place: a convolution over columns, then matrices that go on from
 * column to column, one after the other. So a stream's bytes are the same however its columns were
 * cut into steps.
 *
 * A matrix lies in blocks of STATE_BLOCK values, each (d_key, STATE_BLOCK): a block's two passes
 * find it in the first-level cache, and a decoding step reads and writes every state once. */
#include <math.h>
#include <string.h>

#include "backend/cpu/phase.h"
#include "backend/cpu/product.h"

static const struct mixer_dims *dims_of(const struct cpu_backend *b)
{
    return &b->params.dims.mixer;
}

static float *state_of(const struct cpu_backend *b, const struct phase *p, uint32_t state)
{
    return state_place(&b->places, b->kv, state, p->mixer_params->state_layer);
}

/* ---- decays and rates ----------------------------------------------------------------------- */

/* The columns as f32; they stay in b->y. */
static void run_norm_rows(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct range cols = range_of(b->batch.n_cols, part);
    for (uint32_t c = cols.first; c < cols.last; c++)
        norm_row(b, p->norm, b->x + c * b->ld_model, b->y + c * b->ld_model);
}

static float softplus(float x)
{
    return x > 20 ? x : log1pf(expf(x));
}

/* Heads are shared out, not columns: a row is read once for all columns. */
static void run_rates(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct mixer_dims *d = dims_of(b);
    const struct mixer_weights *w = p->mixer;
    const uint32_t d_model = b->params.dims.d_model;
    const struct range heads = range_of(d->n_heads, part);
    for (uint32_t j = heads.first; j < heads.last; j++)
        for (uint32_t c = 0; c < b->batch.n_cols; c++) {
            const float *row = b->y + c * b->ld_model;
            const size_t weights = (size_t)j * d_model, at = (size_t)c * d->n_heads + j;
            const float beta = b->k.dot(w->beta->values + weights, row, d_model);
            const float decay = b->k.dot(w->decay->values + weights, row, d_model);
            b->mix.rate[at] = 1 / (1 + expf(-beta));
            b->mix.shrink[at] =
                expf(w->a->values[j] * softplus(decay + w->decay_bias->values[j]));
        }
}

/* ---- the convolution ------------------------------------------------------------------------ */

/* (n_channels) what the convolution read `back` columns before column c of a span; NULL: nothing
 * yet. */
static const float *input_before(const struct cpu_backend *b, const struct phase *p,
                                 const struct span *s, uint32_t c, uint32_t back)
{
    const struct mixer_dims *d = dims_of(b);
    if (back <= c) return b->mix.in + (s->first_col + c - back) * b->mix.ld_in;
    const float *state = state_of(b, p, s->state_from);
    return state ? state + (size_t)(d->n_taps - 1 - (back - c)) * d->n_channels : NULL;
}

/* Divides by the length, times scale. */
static void make_unit(const struct cpu_backend *b, float *x, uint32_t n, float scale)
{
    const float by = scale / sqrtf(b->k.dot(x, x, n) + 1e-6f);
    for (uint32_t i = 0; i < n; i++) x[i] *= by;
}

static void convolve_column(const struct cpu_backend *b, const struct phase *p,
                            const struct span *s, uint32_t c)
{
    const struct mixer_dims *d = dims_of(b);
    const float *in[BACKEND_MAX_TAPS];
    float *out = b->mix.conv + (s->first_col + c) * b->mix.ld_in;
    for (uint32_t tap = 0; tap < d->n_taps; tap++)
        in[tap] = input_before(b, p, s, c, d->n_taps - 1 - tap);
    b->k.convolve(in, p->mixer->conv->values, d->n_taps, d->n_channels, out);
    b->k.gate(out, b->mix.ones, d->n_channels, ACTIVATION_SILU, out);
    for (uint32_t head = 0; head < d->n_key_heads; head++) {
        float *q = out + (size_t)head * d->d_key;
        make_unit(b, q, d->d_key, 1 / sqrtf((float)d->d_key));
        make_unit(b, q + (size_t)d->n_key_heads * d->d_key, d->d_key, 1);
    }
}

static void run_convolve(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct range cols = range_of(b->batch.n_cols, part);
    for (uint32_t i = 0; i < b->batch.n_spans; i++) {
        const struct span *s = &b->batch.span[i];
        for (uint32_t c = 0; c < s->n_cols; c++)
            if (s->first_col + c >= cols.first && s->first_col + c < cols.last)
                convolve_column(b, p, s, c);
    }
}

/* The inputs before column `end` of a span, into a state. Those that the state before still has may
 * be there already, and move up. */
static void keep_inputs(const struct cpu_backend *b, const struct phase *p, const struct span *s,
                        uint32_t end, uint32_t state)
{
    const struct mixer_dims *d = dims_of(b);
    const size_t row_bytes = d->n_channels * sizeof(float);
    float *to = state_of(b, p, state);
    for (uint32_t i = 0; i < d->n_taps - 1; i++, to += d->n_channels) {
        const float *in = input_before(b, p, s, end - 1, d->n_taps - 2 - i);
        if (in) memmove(to, in, row_bytes);
        else memset(to, 0, row_bytes);
    }
}

static void keep_inputs_of(const struct cpu_backend *b, const struct phase *p,
                           const struct span *s)
{
    if (s->state_kept != NO_STATE) keep_inputs(b, p, s, s->n_kept_cols, s->state_kept);
    keep_inputs(b, p, s, s->n_cols, s->state_to);
}

/* ---- the matrices --------------------------------------------------------------------------- */

/* Head j's matrix in a state; NULL of NO_STATE. */
static float *matrix_of(const struct cpu_backend *b, const struct phase *p, uint32_t state,
                        uint32_t j)
{
    const struct mixer_dims *d = dims_of(b);
    float *layer = state_of(b, p, state);
    return layer ? layer + (size_t)(d->n_taps - 1) * d->n_channels +
                       (size_t)j * d->d_key * d->d_value
                 : NULL;
}

/* One column of one head: `to` goes on, and what comes out is normed and gated. */
static void mix_column(const struct cpu_backend *b, const struct phase *p, uint32_t j, uint32_t c,
                       float *to)
{
    const struct mixer_dims *d = dims_of(b);
    const uint32_t key_head = p->mixer_params->keys_are_in_turn
                                  ? j % d->n_key_heads
                                  : j / (d->n_heads / d->n_key_heads);
    const float *conv = b->mix.conv + c * b->mix.ld_in;
    const float *value = conv + (size_t)2 * d->n_key_heads * d->d_key + (size_t)j * d->d_value;
    const struct delta_column column = {
        .query = conv + (size_t)key_head * d->d_key,
        .key = conv + (size_t)(d->n_key_heads + key_head) * d->d_key, .n_key = d->d_key,
        .shrink = b->mix.shrink[(size_t)c * d->n_heads + j],
        .rate = b->mix.rate[(size_t)c * d->n_heads + j],
    };
    float *out = b->attended + c * b->mix.ld_out + (size_t)j * d->d_value;
    for (uint32_t e = 0; e < d->d_value; e += STATE_BLOCK, to += d->d_key * STATE_BLOCK)
        b->k.delta_step(to, &column, value + e, out + e);
    norm_values(b, &p->mixer->norm, out, d->d_value, out);
    b->k.gate(b->mix.gate + c * b->mix.ld_out + (size_t)j * d->d_value, out, d->d_value,
              ACTIVATION_SILU, out);
}

static void mix_head(const struct cpu_backend *b, const struct phase *p, const struct span *s,
                     uint32_t j)
{
    const struct mixer_dims *d = dims_of(b);
    const size_t n_bytes = (size_t)d->d_key * d->d_value * sizeof(float);
    const float *from = matrix_of(b, p, s->state_from, j);
    float *to = matrix_of(b, p, s->state_to, j);
    if (!from) memset(to, 0, n_bytes);
    else if (from != to) memcpy(to, from, n_bytes);
    for (uint32_t c = 0; c < s->n_cols; c++) {
        mix_column(b, p, j, s->first_col + c, to);
        if (s->state_kept != NO_STATE && c + 1 == s->n_kept_cols)
            memcpy(matrix_of(b, p, s->state_kept, j), to, n_bytes);
    }
}

/* Items are heads times spans, and behind the heads the spans' inputs: heads first, so that a long
 * span is everybody's. */
static void run_mix(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const uint32_t n_heads = dims_of(b)->n_heads, n_spans = b->batch.n_spans;
    const struct range items = range_of((n_heads + 1) * n_spans, part);
    for (uint32_t i = items.first; i < items.last; i++) {
        const struct span *s = &b->batch.span[i % n_spans];
        if (i / n_spans < n_heads) mix_head(b, p, s, i / n_spans);
        else keep_inputs_of(b, p, s);
    }
}

static void run_quantise_mixed(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct range cols = range_of(b->batch.n_cols, part);
    for (uint32_t c = cols.first; c < cols.last; c++)
        act_quantise(b, &b->att, p->forms, c, b->batch.n_cols, b->attended + c * b->mix.ld_out, 0,
                     mixer_width(dims_of(b)));
}

/* ---- the operation -------------------------------------------------------------------------- */

/* What a value of a matrix takes of one core, read and written. */
#define STATE_NS 0.3

static struct phase *add(struct cpu_backend *b, phase_fn *run, const char *name,
                         const struct norm *norm, const struct mixer_weights *w,
                         const struct mixer_params *params, double ns)
{
    struct phase *p = phase_add(b, run, name);
    p->norm = norm;
    p->mixer = w;
    p->mixer_params = params;
    phase_set_cost(b, p, ns);
    return p;
}

void cpu_mix(struct backend *base, const struct norm *norm, const struct mixer_weights *w,
             const struct mixer_params *params)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    const struct mixer_dims *d = dims_of(b);
    const double n_cols = b->batch.n_cols;
    phase_want_forms(b, b->writer.h, act_form(w->in.weight) | act_form(w->gate.weight));
    add(b, run_norm_rows, "mixer rates", norm, w, params, NORM_NS * n_cols * (double)b->ld_model);
    product_record(b, "mixer in", &w->in, &b->h, b->mix.in, b->mix.ld_in);
    product_record(b, "mixer in", &w->gate, &b->h, b->mix.gate, b->mix.ld_out);
    add(b, run_rates, "mixer rates", norm, w, params,
        2 * READ_NS * n_cols * d->n_heads * (double)b->ld_model);
    add(b, run_convolve, "convolution", norm, w, params,
        ACTIVATION_NS * n_cols * (double)b->mix.ld_in);
    add(b, run_mix, "mixer", norm, w, params,
        STATE_NS * n_cols * d->n_heads * d->d_key * d->d_value);
    b->writer.att = b->n_phases;
    add(b, run_quantise_mixed, "quantise", norm, w, params,
        QUANTISE_NS * n_cols * (double)b->mix.ld_out);
}
