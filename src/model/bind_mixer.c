/* A layer's mixer: names in the file -> weights. */
#include <inttypes.h>

#include "base/memory.h"
#include "model/bind.h"
#include "quant/quant.h"

/* The file has a channel's taps side by side, the seam a tap's channels. */
static pl_status bind_taps(struct binder *k, const char *name, const struct vector **out,
                           pl_err *err)
{
    const struct mixer_dims *m = &k->h->dims.mixer;
    const struct gguf_tensor *t = find_tensor(k, name);
    const uint32_t n = m->n_taps * m->n_channels;
    if (!t) return missing_tensor(k, name, err);
    if (!has_shape(t, m->n_taps, m->n_channels, 1))
        return pl_fail(err, PL_E_FORMAT, "%s: tensor %s is %" PRIu64 " x %" PRIu64 "; %" PRIu32
                       " x %" PRIu32 " is wanted", k->g->part[0].path, name, t->dim[0], t->dim[1],
                       m->n_taps, m->n_channels);
    k->plan.weights_bytes += memory_rounded((uint64_t)n * sizeof(float));
    if (!k->b) return PL_OK;
    float *by_channel = k->scratch + n, *by_tap = k->scratch;
    quant_dequantise(t->type, t->data, by_channel, n);
    for (uint32_t i = 0; i < n; i++)
        by_tap[i % m->n_taps * m->n_channels + i / m->n_taps] = by_channel[i];
    return k->ops->load_vector(k->b, by_tap, n, (struct vector **)out, err);
}

/* (n_heads, d_model), which stay floats: a decay that is a little off is off more with every
 * column. */
static pl_status bind_head_rows(struct binder *k, const char *name, const struct vector **out,
                                pl_err *err)
{
    const struct dims *d = &k->h->dims;
    const struct gguf_tensor *t = find_tensor(k, name);
    if (!t) return missing_tensor(k, name, err);
    if (!has_shape(t, d->d_model, d->mixer.n_heads, 1))
        return pl_fail(err, PL_E_FORMAT, "%s: tensor %s is %" PRIu64 " x %" PRIu64 "; %" PRIu32
                       " x %" PRIu32 " is wanted", k->g->part[0].path, name, t->dim[0], t->dim[1],
                       d->d_model, d->mixer.n_heads);
    return load_floats(k, t, d->mixer.n_heads * d->d_model, out, err);
}

/* Rows of both, by turns: of each key head beta's rows, then decay's. */
static pl_status bind_grouped_rows(struct binder *k, const char *name, struct mixer_weights *out,
                                   pl_err *err)
{
    const struct dims *d = &k->h->dims;
    const struct mixer_dims *m = &d->mixer;
    const struct gguf_tensor *t = find_tensor(k, name);
    if (!t) return missing_tensor(k, name, err);
    if (!has_shape(t, d->d_model, 2 * m->n_heads, 1))
        return pl_fail(err, PL_E_FORMAT, "%s: tensor %s is %" PRIu64 " x %" PRIu64 "; %" PRIu32
                       " x %" PRIu32 " is wanted", k->g->part[0].path, name, t->dim[0], t->dim[1],
                       d->d_model, 2 * m->n_heads);
    const uint32_t n_each = m->n_heads / m->n_key_heads, n = m->n_heads * d->d_model;
    const struct vector **to[] = { &out->beta, &out->decay };
    const size_t row_bytes = quant_row_bytes(t->type, d->d_model);
    k->plan.weights_bytes += 2 * memory_rounded((uint64_t)n * sizeof(float));
    for (uint32_t which = 0; which < 2 && k->b; which++) {
        for (uint32_t i = 0; i < m->n_heads; i++) {
            const uint32_t row = (i / n_each * 2 + which) * n_each + i % n_each;
            quant_dequantise(t->type, (const uint8_t *)t->data + row * row_bytes,
                             k->scratch + (size_t)i * d->d_model, d->d_model);
        }
        const pl_status st =
            k->ops->load_vector(k->b, k->scratch, n, (struct vector **)to[which], err);
        if (st) return st;
    }
    return PL_OK;
}

pl_status bind_mixer(struct binder *k, uint32_t i, struct layer *l, pl_err *err)
{
    const struct dims *d = &k->h->dims;
    const struct mixer_dims *m = &d->mixer;
    struct mixer_weights *w = &l->mixer_weights;
    const uint32_t width = mixer_width(m);
    pl_status st = bind_matrix(k, name_of(i, "attn_qkv.weight").text, m->n_channels, d->d_model,
                               &w->in.weight, err);
    if (!st)
        st = bind_matrix(k, name_of(i, "attn_gate.weight").text, width, d->d_model,
                         &w->gate.weight, err);
    if (!st) st = bind_taps(k, name_of(i, "ssm_conv1d.weight").text, &w->conv, err);
    if (k->h->arch->has_grouped_decay) {
        if (!st) st = bind_grouped_rows(k, name_of(i, "ssm_ba.weight").text, w, err);
    } else {
        if (!st) st = bind_head_rows(k, name_of(i, "ssm_beta.weight").text, &w->beta, err);
        if (!st) st = bind_head_rows(k, name_of(i, "ssm_alpha.weight").text, &w->decay, err);
    }
    if (!st)
        st = bind_vector(k, name_of(i, "ssm_dt.bias").text, m->n_heads, REQUIRED, &w->decay_bias,
                         err);
    if (!st) st = bind_vector(k, name_of(i, "ssm_a").text, m->n_heads, REQUIRED, &w->a, err);
    w->norm = (struct norm){ NULL, k->h->norm_eps, false };
    if (!st)
        st = bind_vector(k, name_of(i, "ssm_norm.weight").text, m->d_value, REQUIRED,
                         &w->norm.weight, err);
    return st ? st : bind_matrix(k, name_of(i, "ssm_out.weight").text, d->d_model, width,
                                 &l->mixer_output.weight, err);
}
