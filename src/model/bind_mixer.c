/* A layer's mixer: names in the file -> weights. */
#include <inttypes.h>

#include "base/memory.h"
#include "model/bind.h"
#include "quant/quant.h"

/* n values, of one row or one each of n rows. */
static pl_status bind_values(struct binder *k, const char *name, uint32_t n,
                             const struct vector **out, pl_err *err)
{
    const struct gguf_tensor *t = find_tensor(k, name);
    if (!t) return missing_tensor(k, name, err);
    if (t->dim[0] * t->dim[1] == n && t->dim[2] == 1 && t->dim[3] == 1)
        return load_floats(k, t, n, out, err);
    return pl_fail(err, PL_E_FORMAT, "%s: tensor %s is %" PRIu64 " x %" PRIu64 "; %" PRIu32
                   " values are wanted", k->g->part[0].path, name, t->dim[0], t->dim[1], n);
}

/* The file has a channel's taps side by side, the seam a tap's channels. */
static pl_status bind_taps(struct binder *k, const char *name, const struct vector **out,
                           pl_err *err)
{
    const struct mixer_dims *m = &k->h->dims.mixer;
    const uint32_t n = m->n_taps * m->n_channels;
    const struct gguf_tensor *t;
    const pl_status st = find_matrix(k, name, m->n_channels, m->n_taps, &t, err);
    if (st) return st;
    k->plan.weights_bytes += memory_rounded((uint64_t)n * sizeof(float));
    if (!k->b) return PL_OK;
    float *by_channel = k->scratch + n, *by_tap = k->scratch;
    quant_dequantise(t->type, t->data, by_channel, n);
    for (uint32_t i = 0; i < n; i++)
        by_tap[i % m->n_taps * m->n_channels + i / m->n_taps] = by_channel[i];
    return k->ops->load_vector(k->b, by_tap, n, (struct vector **)out, err);
}

/* Rows of a tensor for each head, which stay floats: a decay that is a little off is off more with
 * every column. They come in runs of n_each, one run in `period` rows, the first at `first`. */
static pl_status load_head_rows(struct binder *k, const struct gguf_tensor *t, uint32_t first,
                                uint32_t n_each, uint32_t period, const struct vector **out,
                                pl_err *err)
{
    const struct dims *d = &k->h->dims;
    const uint32_t n = d->mixer.n_heads * d->d_model;
    const size_t row_bytes = quant_row_bytes(t->type, d->d_model);
    k->plan.weights_bytes += memory_rounded((uint64_t)n * sizeof(float));
    k->plan.step_weight_bytes += (uint64_t)n * sizeof(float);
    k->plan.macs_per_token += n;
    if (!k->b) return PL_OK;
    for (uint32_t i = 0; i < d->mixer.n_heads; i++) {
        const size_t row = first + (size_t)(i / n_each) * period + i % n_each;
        quant_dequantise(t->type, t->data + row * row_bytes, k->scratch + (size_t)i * d->d_model,
                         d->d_model);
    }
    return k->ops->load_vector(k->b, k->scratch, n, (struct vector **)out, err);
}

static pl_status bind_head_rows(struct binder *k, const char *name, const struct vector **out,
                                pl_err *err)
{
    const uint32_t n = k->h->dims.mixer.n_heads;
    const struct gguf_tensor *t;
    const pl_status st = find_matrix(k, name, n, k->h->dims.d_model, &t, err);
    return st ? st : load_head_rows(k, t, 0, n, n, out, err);
}

/* Beta and decay, by turns in one tensor: of each key head beta's rows, then decay's. */
static pl_status bind_grouped_rows(struct binder *k, const char *name, struct mixer_weights *w,
                                   pl_err *err)
{
    const struct mixer_dims *m = &k->h->dims.mixer;
    const uint32_t n = m->n_heads / m->n_key_heads;
    const struct gguf_tensor *t;
    pl_status st = find_matrix(k, name, 2 * m->n_heads, k->h->dims.d_model, &t, err);
    if (!st) st = load_head_rows(k, t, 0, n, 2 * n, &w->beta, err);
    return st ? st : load_head_rows(k, t, n, n, 2 * n, &w->decay, err);
}

static pl_status bind_delta_net(struct binder *k, uint32_t i, struct mixer_weights *w, pl_err *err)
{
    const struct dims *d = &k->h->dims;
    pl_status st = bind_matrix(k, name_of(i, "attn_qkv.weight").text, d->mixer.n_channels,
                               d->d_model, &w->in.weight, err);
    if (!st)
        st = bind_matrix(k, name_of(i, "attn_gate.weight").text, mixer_width(&d->mixer),
                         d->d_model, &w->gate.weight, err);
    if (k->h->arch->has_grouped_decay) {
        if (!st) st = bind_grouped_rows(k, name_of(i, "ssm_ba.weight").text, w, err);
    } else {
        if (!st) st = bind_head_rows(k, name_of(i, "ssm_beta.weight").text, &w->beta, err);
        if (!st) st = bind_head_rows(k, name_of(i, "ssm_alpha.weight").text, &w->decay, err);
    }
    return st ? st : bind_vector(k, name_of(i, "ssm_norm.weight").text, d->mixer.d_value, REQUIRED,
                                 &w->norm.weight, err);
}

/* Gate, what is convolved, and the rows of decays are one tensor. */
static pl_status bind_state_space(struct binder *k, uint32_t i, struct mixer_weights *w,
                                  pl_err *err)
{
    const struct dims *d = &k->h->dims;
    const struct mixer_dims *m = &d->mixer;
    const uint32_t width = mixer_width(m);
    const struct layer_name name = name_of(i, "ssm_in.weight");
    const struct fused_part parts[] = { { "gate", width, &w->gate.weight },
                                        { "in", m->n_channels, &w->in.weight } };
    const struct gguf_tensor *t;
    pl_status st = find_matrix(k, name.text, width + m->n_channels + m->n_heads, d->d_model, &t,
                               err);
    if (!st) st = bind_parts(k, t, name.text, parts, 2, d->d_model, err);
    if (!st)
        st = load_head_rows(k, t, width + m->n_channels, m->n_heads, m->n_heads, &w->decay, err);
    if (!st)
        st = bind_vector(k, name_of(i, "ssm_conv1d.bias").text, m->n_channels, OPTIONAL,
                         &w->conv_bias, err);
    if (!st) st = bind_values(k, name_of(i, "ssm_d").text, m->n_heads, &w->skip, err);
    const struct layer_name norm = name_of(i, "ssm_norm.weight");
    if (st || !gguf_find(k->g, norm.text)) return st;
    return bind_values(k, norm.text, width, &w->norm.weight, err);
}

static pl_status bind_short_convolution(struct binder *k, uint32_t i, struct layer *l, pl_err *err)
{
    struct mixer_weights *w = &l->mixer_weights;
    const uint32_t d = k->h->dims.d_model;
    const struct fused_part parts[] = { { "before", d, &w->before.weight },
                                        { "gate", d, &w->gate.weight },
                                        { "in", d, &w->in.weight } };
    pl_status st = bind_fused(k, name_of(i, "shortconv.in_proj.weight").text, parts, 3, d, err);
    if (!st) st = bind_taps(k, name_of(i, "shortconv.conv.weight").text, &w->conv, err);
    return st ? st : bind_matrix(k, name_of(i, "shortconv.out_proj.weight").text, d, d,
                                 &l->mixer_output.weight, err);
}

pl_status bind_mixer(struct binder *k, uint32_t i, struct layer *l, pl_err *err)
{
    const struct dims *d = &k->h->dims;
    const struct mixer_dims *m = &d->mixer;
    struct mixer_weights *w = &l->mixer_weights;
    w->norm = (struct norm){ NULL, k->h->norm_eps, false };
    if (l->mixer.kind == MIXER_SHORT_CONVOLUTION) return bind_short_convolution(k, i, l, err);
    pl_status st = l->mixer.kind == MIXER_STATE_SPACE ? bind_state_space(k, i, w, err)
                                                      : bind_delta_net(k, i, w, err);
    if (!st) st = bind_taps(k, name_of(i, "ssm_conv1d.weight").text, &w->conv, err);
    if (!st) st = bind_values(k, name_of(i, "ssm_dt.bias").text, m->n_heads, &w->decay_bias, err);
    if (!st) st = bind_values(k, name_of(i, "ssm_a").text, m->n_heads, &w->a, err);
    return st ? st : bind_matrix(k, name_of(i, "ssm_out.weight").text, d->d_model, mixer_width(m),
                                 &l->mixer_output.weight, err);
}
