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
            const float dt = softplus(b->k.dot(w->decay->values + weights, row, d_model) +
                                      w->decay_bias->values[j]);
            b->mix.shrink[at] = expf(w->a->values[j] * dt);
            b->mix.rate[at] = dt;
            if (w->beta)
                b->mix.rate[at] =
                    1 / (1 + expf(-b->k.dot(w->beta->values + weights, row, d_model)));
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

static void make_units(const struct cpu_backend *b, float *conv)
{
    const struct mixer_dims *d = dims_of(b);
    for (uint32_t head = 0; head < d->n_key_heads; head++) {
        float *q = conv + (size_t)head * d->d_key;
        make_unit(b, q, d->d_key, 1 / sqrtf((float)d->d_key));
        make_unit(b, q + (size_t)d->n_key_heads * d->d_key, d->d_key, 1);
    }
}

static void convolve_column(const struct cpu_backend *b, const struct phase *p,
                            const struct span *s, uint32_t c)
{
    const struct mixer_dims *d = dims_of(b);
    const struct mixer_weights *w = p->mixer;
    const float *in[BACKEND_MAX_TAPS];
    float *out = b->mix.conv + (s->first_col + c) * b->mix.ld_in;
    for (uint32_t tap = 0; tap < d->n_taps; tap++)
        in[tap] = input_before(b, p, s, c, d->n_taps - 1 - tap);
    b->k.convolve(in, w->conv->values, w->conv_bias ? w->conv_bias->values : NULL, d->n_taps,
                  d->n_channels, out);
    if (p->mixer_params->kind != MIXER_SHORT_CONVOLUTION)
        b->k.gate(out, b->mix.ones, d->n_channels, ACTIVATION_SILU, out);
    if (p->mixer_params->kind == MIXER_DELTA_NET) make_units(b, out);
}

/* What a short convolution reads: before, which waits in mix.conv, times in. */
static void run_multiply(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct range cols = range_of(b->batch.n_cols, part);
    (void)p;
    for (uint32_t c = cols.first; c < cols.last; c++)
        b->k.multiply(b->mix.in + c * b->mix.ld_in, b->mix.conv + c * b->mix.ld_in,
                      dims_of(b)->n_channels);
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

/* Where keys, queries and values lie in what was convolved. */
struct places {
    uint32_t query, key, value;
};

static struct places places_of(const struct mixer_dims *d, enum mixer_kind kind)
{
    const uint32_t n_keys = d->n_key_heads * d->d_key, width = mixer_width(d);
    return kind == MIXER_DELTA_NET ? (struct places){ 0, n_keys, 2 * n_keys }
                                   : (struct places){ width + n_keys, width, 0 };
}

/* One column of one head: `to` goes on. */
static void mix_column(const struct cpu_backend *b, const struct phase *p, uint32_t j, uint32_t c,
                       float *to)
{
    const struct mixer_dims *d = dims_of(b);
    const struct places at = places_of(d, p->mixer_params->kind);
    const uint32_t key_head = mixer_key_head(p->mixer_params, d, j);
    const float *conv = b->mix.conv + c * b->mix.ld_in;
    const float *value = conv + at.value + (size_t)j * d->d_value;
    const struct state_column column = {
        .query = conv + at.query + (size_t)key_head * d->d_key,
        .key = conv + at.key + (size_t)key_head * d->d_key, .n_key = d->d_key,
        .shrink = b->mix.shrink[(size_t)c * d->n_heads + j],
        .rate = b->mix.rate[(size_t)c * d->n_heads + j],
        .corrects = p->mixer_params->kind == MIXER_DELTA_NET,
    };
    float *out = b->attended + c * b->mix.ld_out + (size_t)j * d->d_value;
    for (uint32_t e = 0; e < d->d_value; e += STATE_BLOCK, to += d->d_key * STATE_BLOCK)
        b->k.state_step(to, &column, value + e, out + e);
    const float skip = p->mixer->skip ? p->mixer->skip->values[j] : 0;
    for (uint32_t e = 0; e < d->d_value && p->mixer->skip; e++) out[e] += skip * value[e];
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

/* ---- what comes out ------------------------------------------------------------------------- */

/* Norms n_parts of a column's row, each with its own weights where these are many. */
static void norm_parts(const struct cpu_backend *b, const struct norm *norm, uint32_t n_parts,
                       uint32_t n, float *row)
{
    for (uint32_t i = 0; i < n_parts && norm->weight; i++) {
        const struct vector weight = { norm->weight->values + (norm->weight->n > n ? i * n : 0),
                                       n };
        const struct norm part = { &weight, norm->eps, norm->is_centred };
        norm_values(b, &part, row + i * n, n, row + i * n);
    }
}

static void finish_column(const struct cpu_backend *b, const struct phase *p, uint32_t c)
{
    const struct mixer_dims *d = dims_of(b);
    const uint32_t width = mixer_width(d);
    const float *gate = b->mix.gate + c * b->mix.ld_out;
    float *out = b->attended + c * b->mix.ld_out;
    switch (p->mixer_params->kind) {
    case MIXER_DELTA_NET:
        norm_parts(b, &p->mixer->norm, d->n_heads, d->d_value, out);
        b->k.gate(gate, out, width, ACTIVATION_SILU, out);
        break;
    case MIXER_STATE_SPACE:
        b->k.gate(gate, out, width, ACTIVATION_SILU, out);
        norm_parts(b, &p->mixer->norm, d->n_key_heads, width / d->n_key_heads, out);
        break;
    default:
        memcpy(out, gate, width * sizeof *out);
        b->k.multiply(out, b->mix.conv + c * b->mix.ld_in, width);
    }
}

static void run_finish(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct range cols = range_of(b->batch.n_cols, part);
    for (uint32_t c = cols.first; c < cols.last; c++) {
        finish_column(b, p, c);
        act_quantise(b, &b->att, p->forms, c, b->batch.n_cols, b->attended + c * b->mix.ld_out, 0,
                     mixer_width(dims_of(b)));
    }
}

/* ---- the operation -------------------------------------------------------------------------- */

/* What a value of a matrix takes of one core, read and written. */
#define STATE_NS 0.3

/* What all phases of an operation get. */
struct recorder {
    struct cpu_backend *b;
    const struct norm *norm;
    const struct mixer_weights *w;
    const struct mixer_params *params;
};

static void add(const struct recorder *r, phase_fn *run, const char *name, double ns)
{
    struct phase *p = phase_add(r->b, run, name);
    p->norm = r->norm;
    p->mixer = r->w;
    p->mixer_params = r->params;
    phase_set_cost(r->b, p, ns);
}

static void add_products(struct cpu_backend *b, const struct mixer_weights *w)
{
    uint32_t forms = act_form(w->in.weight) | act_form(w->gate.weight);
    if (w->before.weight) forms |= act_form(w->before.weight);
    phase_want_forms(b, b->writer.h, forms);
    product_record(b, "mixer in", &w->in, &b->h, b->mix.in, b->mix.ld_in);
    product_record(b, "mixer in", &w->gate, &b->h, b->mix.gate, b->mix.ld_out);
    if (w->before.weight)
        product_record(b, "mixer in", &w->before, &b->h, b->mix.conv, b->mix.ld_in);
}

void cpu_mix(struct backend *base, const struct norm *norm, const struct mixer_weights *w,
             const struct mixer_params *params)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    const struct mixer_dims *d = dims_of(b);
    const struct recorder r = { b, norm, w, params };
    const double n_cols = b->batch.n_cols, n_in = n_cols * (double)b->mix.ld_in;
    const double n_out = n_cols * (double)b->mix.ld_out, n_x = n_cols * (double)b->ld_model;
    if (w->decay) add(&r, run_norm_rows, "mixer rates", NORM_NS * n_x);
    add_products(b, w);
    if (w->before.weight) add(&r, run_multiply, "convolution", NORM_NS * n_in);
    if (w->decay) add(&r, run_rates, "mixer rates", 2 * READ_NS * d->n_heads * n_x);
    add(&r, run_convolve, "convolution", ACTIVATION_NS * n_in);
    add(&r, run_mix, "mixer", STATE_NS * n_cols * d->n_heads * d->d_key * d->d_value);
    b->writer.att = b->n_phases;
    add(&r, run_finish, "mixer out", (ACTIVATION_NS + QUANTISE_NS) * n_out);
}
