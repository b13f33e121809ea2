/* Residuals side by side, of which a layer computes the first, and the narrow product beside its
 * attention. */
#include "backend/metal/recorder.h"

/* As halves tracks are scaled down, and what is made of them scaled up, so that they may grow
 * beyond what a half holds. */
#define TRACK_SCALE (1.0f / 64.0f)

static void record(struct metal_backend *b, const struct metal_pipeline *kernel,
                   const struct metal_buffer *const *buffer, uint32_t n_buffers,
                   const struct track_args *args)
{
    metal_record(b, kernel, buffer, n_buffers, args, sizeof *args, b->batch.n_cols, 1,
                 NORM_THREADS);
    metal_end_operation(b, "tracks");
}

/* ---- what they begin as and end in ----------------------------------------------------------- */

static void copy_first(struct metal_backend *b, bool to_x)
{
    struct track_args args = metal_track_args(b, 0);
    const struct metal_buffer *buffers[] = { &b->x, &b->tracks };
    args.to_x = to_x;
    record(b, b->kernel.copy_track, buffers, 2, &args);
}

/* Y = a track times w */
static void track_product(struct metal_backend *b, uint32_t track, const struct linear *w)
{
    struct track_args args = metal_track_args(b, track);
    const struct metal_buffer *buffers[] = { &b->tracks, &b->h };
    const struct product p = {
        .matrix = w->weight, .in = &b->h, .out = &b->y, .ld_in = b->ld_model,
        .ld_out = b->ld_model, .n_cols = b->batch.n_cols, .epilogue = EPILOGUE_STORE,
        .scale = 1 / TRACK_SCALE,
    };
    args.scale = TRACK_SCALE;
    record(b, b->kernel.shrink_track, buffers, 2, &args);
    metal_product(b, &p);
    metal_end_operation(b, "tracks");
}

static void match(struct metal_backend *b, uint32_t track, bool adds, float scale)
{
    struct track_args args = metal_track_args(b, track);
    const struct metal_buffer *buffers[] = { &b->y, &b->tracks, &b->x };
    args.adds = adds;
    args.scale = scale;
    record(b, b->kernel.match_track, buffers, 3, &args);
}

void metal_tracks_begin(struct backend *base, const struct track_ends *w)
{
    struct metal_backend *b = (struct metal_backend *)base;
    copy_first(b, false);
    for (uint32_t k = 1; k < b->params.dims.n_tracks; k++) {
        track_product(b, 0, &w->in[k]);
        match(b, k, false, 1);
    }
}

void metal_tracks_end(struct backend *base, const struct track_ends *w)
{
    struct metal_backend *b = (struct metal_backend *)base;
    const uint32_t n = b->params.dims.n_tracks;
    copy_first(b, true);
    for (uint32_t k = 1; k < n; k++) {
        track_product(b, k, &w->out[k]);
        match(b, k, true, k + 1 == n ? 1.0f / (float)n : 1);
    }
}

/* ---- a layer --------------------------------------------------------------------------------- */

void metal_tracks_predict(struct backend *base, const struct track_layer *w)
{
    struct metal_backend *b = (struct metal_backend *)base;
    struct track_args args = metal_track_args(b, 0);
    const struct metal_buffer *buffers[] = { &b->tracks, &b->x, &w->router->values,
                                             &w->norm.weight->values, &w->predict->values };
    args.eps = w->norm.eps;
    record(b, b->kernel.predict_tracks, buffers, 5, &args);
}

void metal_tracks_correct(struct backend *base, const struct track_layer *w)
{
    struct metal_backend *b = (struct metal_backend *)base;
    struct track_args args = metal_track_args(b, 0);
    const struct metal_buffer *buffers[] = { &b->tracks, &b->x, &w->router->values,
                                             &w->norm.weight->values, &w->correct->values,
                                             &w->scale->values };
    args.eps = w->norm.eps;
    record(b, b->kernel.correct_tracks, buffers, 6, &args);
}

/* ---- HELD = norm of X + norm of a narrow product --------------------------------------------- */

static void low_product(struct metal_backend *b, const struct linear *w,
                        const struct metal_buffer *in, uint32_t ld_in,
                        const struct metal_buffer *out, uint32_t ld_out)
{
    const struct product p = {
        .matrix = w->weight, .in = in, .out = out, .ld_in = ld_in, .ld_out = ld_out,
        .n_cols = b->batch.n_cols, .epilogue = EPILOGUE_STORE, .scale = 1,
    };
    metal_product(b, &p);
    metal_end_operation(b, "low rank");
}

void metal_low_rank(struct backend *base, const struct norm *norm, const struct linear *down,
                    const struct linear *up, const struct norm *post)
{
    struct metal_backend *b = (struct metal_backend *)base;
    const uint32_t d_model = b->params.dims.d_model;
    const struct row_args halved = { b->params.dims.d_low, b->ld_low, b->ld_low, 0, 0, 1, false,
                                     0 };
    const struct row_args after = { d_model, b->ld_model, b->ld_model, 1, post->eps, 1, false, 0 };
    const struct row_args before = { d_model, b->ld_model, b->ld_model, 1, norm->eps, 1, false,
                                     0 };
    const struct metal_buffer *of_halves[] = { &b->low, &b->low_half };
    const struct metal_buffer *of_post[] = { &b->y, &post->weight->values };
    const struct metal_buffer *of_sum[] = { &b->x, &norm->weight->values, &b->y, &b->held };
    low_product(b, down, &b->h, b->ld_model, &b->low, b->ld_low);
    metal_record(b, b->kernel.shrink_rows, of_halves, 2, &halved, sizeof halved, b->batch.n_cols,
                 1, NORM_THREADS);
    metal_end_operation(b, "low rank");
    low_product(b, up, &b->low_half, b->ld_low, &b->y, b->ld_model);
    metal_record(b, b->kernel.norm_rows, of_post, 2, &after, sizeof after, b->batch.n_cols, 1,
                 NORM_THREADS);
    metal_end_operation(b, "norm");
    metal_record(b, b->kernel.hold_rows, of_sum, 4, &before, sizeof before, b->batch.n_cols, 1,
                 NORM_THREADS);
    metal_end_operation(b, "low rank");
}
