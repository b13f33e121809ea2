/* Residuals side by side, of which a layer computes the first, and the narrow product beside its
 * attention. A column's are of one thread; sums have the order of the kernels. */
#include <math.h>
#include <string.h>

#include "backend/cpu/phase.h"
#include "backend/cpu/product.h"

static float length_of(const struct cpu_backend *b, const float *x)
{
    return sqrtf(b->k.dot(x, x, b->params.dims.d_model));
}

/* ---- what they begin as and end in ----------------------------------------------------------- */

/* H = a track's columns as they are */
static void run_quantise_track(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct range cols = range_of(b->batch.n_cols, part);
    for (uint32_t c = cols.first; c < cols.last; c++)
        act_quantise(b, &b->h, p->forms, c, b->batch.n_cols, track_at(b, p->track, c), 0,
                     b->params.dims.d_model);
}

static void run_first_track(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct range cols = range_of(b->batch.n_cols, part);
    (void)p;
    for (uint32_t c = cols.first; c < cols.last; c++)
        memcpy(track_at(b, 0, c), b->x + c * b->ld_model,
               b->params.dims.d_model * sizeof *b->x);
}

/* A track becomes Y, as long as X. */
static void run_begin_track(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const uint32_t d_model = b->params.dims.d_model;
    const struct range cols = range_of(b->batch.n_cols, part);
    for (uint32_t c = cols.first; c < cols.last; c++) {
        float *to = track_at(b, p->track, c);
        memcpy(to, b->y + c * b->ld_model, d_model * sizeof *to);
        b->k.cap(to, d_model, length_of(b, b->x + c * b->ld_model) / length_of(b, to), 0);
    }
}

static struct phase *add_track_phase(struct cpu_backend *b, phase_fn *run, uint32_t track)
{
    struct phase *p = phase_add(b, run, "tracks");
    p->track = track;
    phase_set_cost(b, p, NORM_NS * b->batch.n_cols * b->params.dims.d_model);
    return p;
}

/* Y = a track times w */
static void record_track_product(struct cpu_backend *b, uint32_t track, const struct linear *w)
{
    add_track_phase(b, run_quantise_track, track)->forms = act_form(w->weight);
    product_record(b, "tracks", w, &b->h, b->y, b->ld_model);
}

void cpu_tracks_begin(struct backend *base, const struct track_ends *w)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    add_track_phase(b, run_first_track, 0);
    for (uint32_t k = 1; k < b->params.dims.n_tracks; k++) {
        record_track_product(b, 0, &w->in[k]);
        add_track_phase(b, run_begin_track, k);
    }
}

/* X += Y as long as track 0; the first sets X, the last makes a mean of it. */
static void run_end_track(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const uint32_t d_model = b->params.dims.d_model, n = b->params.dims.n_tracks;
    const struct range cols = range_of(b->batch.n_cols, part);
    for (uint32_t c = cols.first; c < cols.last; c++) {
        float *x = b->x + c * b->ld_model, *y = b->y + c * b->ld_model;
        const float *first = track_at(b, 0, c);
        if (p->track == 1) memcpy(x, first, d_model * sizeof *x);
        b->k.cap(y, d_model, length_of(b, first) / length_of(b, y), 0);
        b->k.add(x, y, d_model);
        if (p->track + 1 == n) b->k.cap(x, d_model, 1.0f / (float)n, 0);
    }
}

void cpu_tracks_end(struct backend *base, const struct track_ends *w)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    for (uint32_t k = 1; k < b->params.dims.n_tracks; k++) {
        record_track_product(b, k, &w->out[k]);
        add_track_phase(b, run_end_track, k);
    }
}

/* ---- a layer --------------------------------------------------------------------------------- */

/* What the router makes of a column; row: room for its norm. */
static void route(const struct cpu_backend *b, const struct track_layer *w, const float *x,
                  float *row, float m[MAX_TRACKS])
{
    const uint32_t d_model = b->params.dims.d_model;
    norm_values(b, &w->norm, x, d_model, row);
    for (uint32_t k = 0; k < b->params.dims.n_tracks; k++)
        m[k] = tanhf(b->k.dot(row, w->router->values + (size_t)k * d_model, d_model));
}

/* A row of coefficients times m. */
static float coefficient(const float *row, const float *m, uint32_t n)
{
    float sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += row[i] * m[i];
    return sum;
}

static void predict(const struct cpu_backend *b, const struct track_layer *w, uint32_t c,
                    float *row)
{
    const uint32_t d_model = b->params.dims.d_model, n = b->params.dims.n_tracks;
    float m[MAX_TRACKS], share[MAX_TRACKS][MAX_TRACKS], *track[MAX_TRACKS];
    for (uint32_t k = 0; k < n; k++) track[k] = track_at(b, k, c);
    route(b, w, track_at(b, 0, c), row, m);
    for (uint32_t j = 0; j < n; j++)
        for (uint32_t i = 0; i < n; i++)
            share[j][i] = (float)(i == j) + coefficient(w->predict->values + (j * n + i) * n, m, n);
    for (uint32_t d = 0; d < d_model; d++) {
        float sum[MAX_TRACKS] = { 0 };
        for (uint32_t j = 0; j < n; j++)
            for (uint32_t i = 0; i < n; i++) sum[j] += share[j][i] * track[i][d];
        for (uint32_t j = 0; j < n; j++) track[j][d] = sum[j];
    }
    memcpy(b->x + c * b->ld_model, track_at(b, 0, c), d_model * sizeof *b->x);
}

static void correct(const struct cpu_backend *b, const struct track_layer *w, uint32_t c,
                    float *row)
{
    const uint32_t d_model = b->params.dims.d_model, n = b->params.dims.n_tracks;
    float *x = b->x + c * b->ld_model, m[MAX_TRACKS];
    route(b, w, x, row, m);
    memcpy(row, x, d_model * sizeof *row);
    for (uint32_t d = 0; d < d_model; d++) row[d] -= track_at(b, 0, c)[d];
    for (uint32_t j = 0; j < n; j++) {
        const float share = 1 + coefficient(w->correct->values + j * n, m, n);
        float *to = track_at(b, j, c);
        for (uint32_t d = 0; d < d_model; d++) to[d] += share * row[d];
    }
    for (uint32_t d = 0; d < d_model; d++) x[d] = track_at(b, 0, c)[d] * w->scale->values[d];
}

static void run_predict(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct range cols = range_of(b->batch.n_cols, part);
    float *row = b->norm_row + part.thread * b->ld_model;
    for (uint32_t c = cols.first; c < cols.last; c++) predict(b, p->tracks, c, row);
}

static void run_correct(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct range cols = range_of(b->batch.n_cols, part);
    float *row = b->norm_row + part.thread * b->ld_model;
    for (uint32_t c = cols.first; c < cols.last; c++) correct(b, p->tracks, c, row);
}

static void add_layer_phase(struct cpu_backend *b, phase_fn *run, const struct track_layer *w)
{
    const struct dims *d = &b->params.dims;
    struct phase *p = phase_add(b, run, "tracks");
    p->tracks = w;
    phase_set_cost(b, p, NORM_NS * b->batch.n_cols * (double)d->d_model * d->n_tracks);
}

void cpu_tracks_predict(struct backend *base, const struct track_layer *w)
{
    add_layer_phase((struct cpu_backend *)base, run_predict, w);
}

void cpu_tracks_correct(struct backend *base, const struct track_layer *w)
{
    add_layer_phase((struct cpu_backend *)base, run_correct, w);
}

/* ---- HELD = H + norm of a narrow product ----------------------------------------------------- */

static void run_quantise_low(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct range cols = range_of(b->batch.n_cols, part);
    for (uint32_t c = cols.first; c < cols.last; c++)
        act_quantise(b, &b->narrow, p->forms, c, b->batch.n_cols, b->low + c * b->ld_low, 0,
                     b->params.dims.d_low);
}

/* p->norm: of H; p->norm_after: of the product, which stands in Y. */
static void run_hold(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const uint32_t d_model = b->params.dims.d_model;
    const struct range cols = range_of(b->batch.n_cols, part);
    for (uint32_t c = cols.first; c < cols.last; c++) {
        float *held = b->held + c * b->ld_model, *y = b->y + c * b->ld_model;
        norm_row(b, p->norm, b->x + c * b->ld_model, held);
        norm_values(b, p->norm_after, y, d_model, y);
        b->k.add(held, y, d_model);
    }
}

void cpu_low_rank(struct backend *base, const struct norm *norm, const struct linear *down,
                  const struct linear *up, const struct norm *post)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    phase_want_forms(b, b->writer.h, act_form(down->weight));
    product_record(b, "low rank", down, &b->h, b->low, b->ld_low);
    phase_add(b, run_quantise_low, "quantise")->forms = act_form(up->weight);
    product_record(b, "low rank", up, &b->narrow, b->y, b->ld_model);
    struct phase *p = phase_add(b, run_hold, "low rank");
    p->norm = norm;
    p->norm_after = post;
    phase_set_cost(b, p, 2 * NORM_NS * b->batch.n_cols * b->params.dims.d_model);
}
