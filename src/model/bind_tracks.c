/* Residuals side by side: what they begin as and end in, and what a layer does to them; and the
 * narrow product beside its attention. */
#include <math.h>
#include <stdio.h>

#include "model/bind.h"

/* Matrices [1, n_tracks) of (d_model, d_model), one after the other in a tensor. */
static pl_status bind_each(struct binder *k, const char *name, struct linear out[MAX_TRACKS],
                           pl_err *err)
{
    const struct dims *d = &k->h->dims;
    const struct gguf_tensor *t = find_tensor(k, name);
    pl_status st = PL_OK;
    if (!t || !has_shape(t, d->d_model, d->d_model, d->n_tracks - 1))
        return missing_tensor(k, name, err);
    for (uint32_t i = 1; i < d->n_tracks && !st; i++) {
        char of_track[64];
        uint64_t n_bytes;
        snprintf(of_track, sizeof of_track, "%s.%u", name, i);
        st = load_rows(k, t, of_track, (i - 1) * d->d_model, d->d_model, d->d_model, &n_bytes,
                       &out[i].weight, err);
        k->plan.step_weight_bytes += n_bytes;
        k->plan.macs_per_token += (uint64_t)d->d_model * d->d_model;
    }
    return st;
}

pl_status bind_track_ends(struct binder *k, struct track_ends *out, pl_err *err)
{
    if (!k->h->dims.n_tracks) return PL_OK;
    const pl_status st = bind_each(k, "altup_proj.weight", out->in, err);
    return st ? st : bind_each(k, "altup_unembd_proj.weight", out->out, err);
}

/* n_rows rows of n, times a scale, as f32. */
static pl_status bind_small(struct binder *k, uint32_t i, const char *name, uint32_t n,
                            uint32_t n_rows, float scale, const struct vector **out, pl_err *err)
{
    const struct layer_name of_layer = name_of(i, name);
    const struct gguf_tensor *t = find_tensor(k, of_layer.text);
    if (!t || !has_shape(t, n, n_rows, 1)) return missing_tensor(k, of_layer.text, err);
    k->plan.macs_per_token += (uint64_t)n * n_rows;
    return load_scaled(k, t, n * n_rows, scale, out, err);
}

static pl_status bind_low_rank(struct binder *k, uint32_t i, struct layer *l, pl_err *err)
{
    const struct dims *d = &k->h->dims;
    pl_status st = bind_matrix(k, name_of(i, "laurel_l.weight").text, d->d_low, d->d_model,
                               &l->low_down.weight, err);
    if (!st)
        st = bind_matrix(k, name_of(i, "laurel_r.weight").text, d->d_model, d->d_low,
                         &l->low_up.weight, err);
    l->low_norm = (struct norm){ NULL, k->h->norm_eps, false };
    return st ? st : bind_vector(k, name_of(i, "laurel_post_norm.weight").text, d->d_model,
                                 REQUIRED, &l->low_norm.weight, err);
}

/* Attention's result and the narrow product's join X together, over sqrt(2); the layer's input
 * joins all tracks but the first. */
pl_status bind_track_layer(struct binder *k, uint32_t i, struct layer *l, pl_err *err)
{
    const uint32_t n = k->h->dims.n_tracks, d_model = k->h->dims.d_model;
    struct track_layer *t = &l->tracks;
    if (!n) return PL_OK;
    t->norm = (struct norm){ NULL, k->h->norm_eps, false };
    l->attention_residual.takes_held = true;
    l->attention_residual.x_scale = (float)M_SQRT1_2;
    l->input_residual.joins_tracks = true;
    pl_status st = bind_low_rank(k, i, l, err);
    if (!st) st = bind_small(k, i, "altup_router.weight", d_model, n, 1, &t->router, err);
    if (!st)
        st = bind_small(k, i, "altup_router_norm.weight", d_model, 1, 1 / (float)d_model,
                        &t->norm.weight, err);
    if (!st) st = bind_small(k, i, "altup_predict_coef.weight", n, n * n, 1, &t->predict, err);
    if (!st) st = bind_small(k, i, "altup_correct_coef.weight", n, n, 1, &t->correct, err);
    return st ? st : bind_small(k, i, "altup_correct_scale.weight", d_model, 1, 1, &t->scale, err);
}
