/* Residuals side by side, of which a layer computes the first, and the narrow product beside its
 * attention. */
#include <math.h>
#include <string.h>

#include "backend/exact/exact_internal.h"

/* A column of it. */
static float *track_at(const struct exact_backend *b, uint32_t track, uint32_t c)
{
    return exact_track(b, track) + (size_t)c * b->params.dims.d_model;
}

static double length_of(const float *x, uint32_t n)
{
    return sqrt(exact_dot(x, x, n));
}

/* ---- what they begin as and end in ----------------------------------------------------------- */

/* A track's column becomes y's, as long as x's. */
static void begin_column(struct exact_backend *b, const void *arg, uint32_t c)
{
    const uint32_t d_model = b->params.dims.d_model, track = *(const uint32_t *)arg;
    const float *x = b->x + (size_t)c * d_model, *y = b->y + (size_t)c * d_model;
    const double scale = length_of(x, d_model) / length_of(y, d_model);
    float *to = track_at(b, track, c);
    for (uint32_t i = 0; i < d_model; i++) to[i] = (float)((double)y[i] * scale);
}

void exact_tracks_begin(struct backend *base, const struct track_ends *w)
{
    struct exact_backend *b = (struct exact_backend *)base;
    const uint32_t n_cols = b->batch.n_cols;
    memcpy(exact_track(b, 0), b->x, (size_t)n_cols * b->params.dims.d_model * sizeof *b->x);
    for (uint32_t k = 1; k < b->params.dims.n_tracks; k++) {
        exact_product(b, "tracks", all_rows(&w->in[k]), b->x, n_cols, b->y);
        exact_run(b, "tracks", n_cols, begin_column, &k);
    }
}

/* x += y as long as track 0; the last makes a mean of it. */
static void end_column(struct exact_backend *b, const void *arg, uint32_t c)
{
    const uint32_t d_model = b->params.dims.d_model, track = *(const uint32_t *)arg;
    const uint32_t n_tracks = b->params.dims.n_tracks;
    float *x = b->x + (size_t)c * d_model, *y = b->y + (size_t)c * d_model;
    const double scale = length_of(track_at(b, 0, c), d_model) / length_of(y, d_model);
    const double part = track + 1 == n_tracks ? 1.0 / n_tracks : 1;
    for (uint32_t i = 0; i < d_model; i++)
        x[i] = (float)(((double)x[i] + (double)y[i] * scale) * part);
}

void exact_tracks_end(struct backend *base, const struct track_ends *w)
{
    struct exact_backend *b = (struct exact_backend *)base;
    const uint32_t n_cols = b->batch.n_cols;
    memcpy(b->x, exact_track(b, 0), (size_t)n_cols * b->params.dims.d_model * sizeof *b->x);
    for (uint32_t k = 1; k < b->params.dims.n_tracks; k++) {
        exact_product(b, "tracks", all_rows(&w->out[k]), exact_track(b, k), n_cols, b->y);
        exact_run(b, "tracks", n_cols, end_column, &k);
    }
}

/* ---- a layer --------------------------------------------------------------------------------- */

/* What the router makes of a column; y is room for its norm. */
static void route(const struct exact_backend *b, const struct track_layer *w, const float *x,
                  float *y, float m[MAX_TRACKS])
{
    const uint32_t d_model = b->params.dims.d_model;
    exact_normed(x, &w->norm, y);
    for (uint32_t k = 0; k < b->params.dims.n_tracks; k++)
        m[k] = (float)tanh(exact_dot(y, w->router->values + (size_t)k * d_model, d_model));
}

static void predict_column(struct exact_backend *b, const void *arg, uint32_t c)
{
    const struct track_layer *w = arg;
    const uint32_t d_model = b->params.dims.d_model, n = b->params.dims.n_tracks;
    float m[MAX_TRACKS];
    double share[MAX_TRACKS][MAX_TRACKS];
    route(b, w, track_at(b, 0, c), b->y + (size_t)c * d_model, m);
    for (uint32_t j = 0; j < n; j++)
        for (uint32_t i = 0; i < n; i++)
            share[j][i] = (i == j) + exact_dot(w->predict->values + (j * n + i) * n, m, n);
    for (uint32_t d = 0; d < d_model; d++) {
        double sum[MAX_TRACKS] = { 0 };
        for (uint32_t j = 0; j < n; j++)
            for (uint32_t i = 0; i < n; i++)
                sum[j] += share[j][i] * (double)track_at(b, i, c)[d];
        for (uint32_t j = 0; j < n; j++) track_at(b, j, c)[d] = (float)sum[j];
    }
    memcpy(b->x + (size_t)c * d_model, track_at(b, 0, c), d_model * sizeof *b->x);
}

static void correct_column(struct exact_backend *b, const void *arg, uint32_t c)
{
    const struct track_layer *w = arg;
    const uint32_t d_model = b->params.dims.d_model, n = b->params.dims.n_tracks;
    float *x = b->x + (size_t)c * d_model, m[MAX_TRACKS];
    double share[MAX_TRACKS];
    route(b, w, x, b->y + (size_t)c * d_model, m);
    for (uint32_t j = 0; j < n; j++) share[j] = 1 + exact_dot(w->correct->values + j * n, m, n);
    for (uint32_t d = 0; d < d_model; d++) {
        const double more = (double)x[d] - (double)track_at(b, 0, c)[d];
        for (uint32_t j = 0; j < n; j++)
            track_at(b, j, c)[d] = (float)((double)track_at(b, j, c)[d] + more * share[j]);
        x[d] = track_at(b, 0, c)[d] * w->scale->values[d];
    }
}

void exact_tracks_predict(struct backend *base, const struct track_layer *w)
{
    struct exact_backend *b = (struct exact_backend *)base;
    exact_run(b, "tracks", b->batch.n_cols, predict_column, w);
}

void exact_tracks_correct(struct backend *base, const struct track_layer *w)
{
    struct exact_backend *b = (struct exact_backend *)base;
    exact_run(b, "tracks", b->batch.n_cols, correct_column, w);
}

/* ---- HELD = H + norm of a narrow product ----------------------------------------------------- */

static void hold_column(struct exact_backend *b, const void *arg, uint32_t c)
{
    const struct norm *post = arg;
    const uint32_t d_model = b->params.dims.d_model;
    const size_t at = (size_t)c * d_model;
    exact_normed(b->y + at, post, b->held + at);
    for (uint32_t i = 0; i < d_model; i++) b->held[at + i] += b->h[at + i];
}

/* H is X normed by `norm`: it is exact here. */
void exact_low_rank(struct backend *base, const struct norm *norm, const struct linear *down,
                    const struct linear *up, const struct norm *post)
{
    struct exact_backend *b = (struct exact_backend *)base;
    const uint32_t n_cols = b->batch.n_cols;
    (void)norm;
    exact_product(b, "low rank", all_rows(down), b->h, n_cols, b->low);
    exact_product(b, "low rank", all_rows(up), b->low, n_cols, b->y);
    exact_run(b, "low rank", n_cols, hold_column, post);
}
