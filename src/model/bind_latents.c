/* Weights of attention over latents. */
#include "model/bind.h"

/* n_rows rows of every head, one head after the other, that every step reads. */
static pl_status bind_heads(struct binder *k, uint32_t i, const char *name, uint32_t n_rows,
                            uint32_t n_k, struct linear *out, pl_err *err)
{
    const uint32_t n_heads = k->h->dims.n_heads;
    const struct layer_name of_layer = name_of(i, name);
    const struct gguf_tensor *t = find_tensor(k, of_layer.text);
    uint64_t n_bytes = 0;
    if (!t || !has_shape(t, n_k, n_rows, n_heads)) return missing_tensor(k, of_layer.text, err);
    const pl_status st = load_rows(k, t, of_layer.text, 0, n_rows * n_heads, n_k, &n_bytes,
                                   &out->weight, err);
    k->plan.step_weight_bytes += n_bytes;
    k->plan.macs_per_token += (uint64_t)n_rows * n_heads * n_k;
    return st;
}

static pl_status bind_queries(struct binder *k, uint32_t i, struct latent_weights *w, pl_err *err)
{
    const struct dims *d = &k->h->dims;
    const struct latent_dims *l = &d->latent;
    const uint32_t n_rows = d->n_heads * (l->d_plain + l->d_turned);
    if (!l->d_query)
        return bind_matrix(k, name_of(i, "attn_q.weight").text, n_rows, d->d_model, &w->q.weight,
                           err);
    pl_status st = bind_matrix(k, name_of(i, "attn_q_a.weight").text, l->d_query, d->d_model,
                               &w->q_down.weight, err);
    if (!st)
        st = bind_vector(k, name_of(i, "attn_q_a_norm.weight").text, l->d_query, REQUIRED,
                         &w->norm_q.weight, err);
    return st ? st : bind_matrix(k, name_of(i, "attn_q_b.weight").text, n_rows, l->d_query,
                                 &w->q.weight, err);
}

pl_status bind_latents(struct binder *k, uint32_t i, struct latent_weights *w, pl_err *err)
{
    const struct dims *d = &k->h->dims;
    const struct latent_dims *l = &d->latent;
    w->norm_q = w->norm_kv = (struct norm){ NULL, k->h->norm_eps, false };
    pl_status st = bind_queries(k, i, w, err);
    if (!st)
        st = bind_matrix(k, name_of(i, "attn_kv_a_mqa.weight").text, l->d_latent + l->d_turned,
                         d->d_model, &w->kv.weight, err);
    if (!st)
        st = bind_vector(k, name_of(i, "attn_kv_a_norm.weight").text, l->d_latent, REQUIRED,
                         &w->norm_kv.weight, err);
    if (!st) st = bind_heads(k, i, "attn_k_b.weight", l->d_latent, l->d_plain, &w->absorb, err);
    return st ? st : bind_heads(k, i, "attn_v_b.weight", l->d_value, l->d_latent, &w->value, err);
}
