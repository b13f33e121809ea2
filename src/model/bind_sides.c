/* What stands beside a layer's attention and feed-forward: a mixture's dense part, the input that
 * every layer gets of the token itself, and the number that X is multiplied by at its end. */
#include <math.h>

#include "model/bind.h"
#include "quant/quant.h"

/* ---- a mixture beside a dense part ----------------------------------------------------------- */

/* The router reads X as it is, normed by weights of its own and over sqrt(d_model). */
static pl_status bind_router_norm(struct binder *k, uint32_t i, struct layer *l, pl_err *err)
{
    const uint32_t d_model = k->h->dims.d_model;
    const struct layer_name name = name_of(i, "ffn_gate_inp.scale");
    const struct gguf_tensor *t = find_tensor(k, name.text);
    if (!t || !has_shape(t, d_model, 1, 1)) return missing_tensor(k, name.text, err);
    return load_scaled(k, t, d_model, 1 / sqrtf((float)d_model), &l->router_norm.weight, err);
}

/* The dense part's result is held until the experts', and both are normed together. */
pl_status bind_sides(struct binder *k, uint32_t i, struct layer *l, pl_err *err)
{
    const struct dims *d = &k->h->dims;
    struct residual *dense = &l->feed_forward_residual, *experts = &l->expert_residual;
    experts->takes_held = true;
    experts->norm_held = dense->norm;       /* what follows a layer that is dense alone */
    dense->is_held = true;
    pl_status st = bind_vector(k, name_of(i, "post_ffw_norm_1.weight").text, d->d_model, REQUIRED,
                               &dense->norm.weight, err);
    if (!st)
        st = bind_vector(k, name_of(i, "pre_ffw_norm_2.weight").text, d->d_model, REQUIRED,
                         &l->expert_norm.weight, err);
    if (!st)
        st = bind_vector(k, name_of(i, "post_ffw_norm_2.weight").text, d->d_model, REQUIRED,
                         &experts->norm.weight, err);
    if (!st) st = bind_router_norm(k, i, l, err);
    return st ? st : bind_vector(k, name_of(i, "ffn_down_exps.scale").text, d->n_experts, REQUIRED,
                                 &l->experts.scales, err);
}

/* ---- inputs ---------------------------------------------------------------------------------- */

/* Steps read single rows of the embedding. */
pl_status bind_inputs(struct binder *k, struct layer_inputs *out, pl_err *err)
{
    const struct dims *d = &k->h->dims;
    const uint32_t n = d->n_layers * d->d_input;
    struct layer_inputs w = { .norm = { NULL, k->h->norm_eps, false } };
    if (!n) return PL_OK;
    if (k->homes->n > 1 && gguf_find(k->g, "output.weight"))    /* forward.c: record_beginning */
        return pl_fail(err, PL_E_UNSUPPORTED, "%s: inputs of layers and an output head of its own "
                       "are not run on two backends: leave --n-gpu-layers out",
                       k->g->part[0].path);
    w.embed_scale = sqrtf((float)d->d_input);
    w.project_scale = 1 / sqrtf((float)d->d_model);
    w.scale = (float)M_SQRT1_2;
    const uint64_t step_bytes = k->plan.step_weight_bytes, macs = k->plan.macs_per_token;
    pl_status st = bind_matrix(k, "per_layer_token_embd.weight", d->n_vocab, n, &w.embedding, err);
    k->plan.step_weight_bytes = step_bytes;
    k->plan.macs_per_token = macs;
    if (!st)
        st = bind_matrix(k, "per_layer_model_proj.weight", n, d->d_model, &w.project.weight, err);
    if (!st)
        st = bind_vector(k, "per_layer_proj_norm.weight", d->d_input, REQUIRED, &w.norm.weight,
                         err);
    *out = w;
    return st;
}

static pl_status bind_input(struct binder *k, uint32_t i, struct layer *l, pl_err *err)
{
    const struct dims *d = &k->h->dims;
    pl_status st = bind_matrix(k, name_of(i, "inp_gate.weight").text, d->d_input, d->d_model,
                               &l->input_gate.weight, err);
    if (!st)
        st = bind_matrix(k, name_of(i, "proj.weight").text, d->d_model, d->d_input,
                         &l->input_down.weight, err);
    return st ? st : bind_vector(k, name_of(i, "post_norm.weight").text, d->d_model, REQUIRED,
                                 &l->input_residual.norm.weight, err);
}

/* ---- a layer's end --------------------------------------------------------------------------- */

/* Of the operation that is the layer's last. */
static struct residual *last_residual(const struct binder *k, uint32_t i, struct layer *l)
{
    if (k->h->dims.d_input) return &l->input_residual;
    return k->h->layer[i].is_mixture ? &l->expert_residual : &l->feed_forward_residual;
}

pl_status bind_layer_end(struct binder *k, uint32_t i, struct layer *l, pl_err *err)
{
    const struct arch *a = k->h->arch;
    const struct layer_name name = name_of(i, "layer_output_scale.weight");
    pl_status st = k->h->dims.d_input ? bind_input(k, i, l, err) : PL_OK;
    if (st || a->layer_scale == ABSENT) return st;
    const struct gguf_tensor *t = find_tensor(k, name.text);
    if (!t) return a->layer_scale == OPTIONAL ? PL_OK : missing_tensor(k, name.text, err);
    float scale;
    if (!has_shape(t, 1, 1, 1))
        return pl_fail(err, PL_E_FORMAT, "%s: %s is no single number", k->g->part[0].path,
                       name.text);
    quant_dequantise(t->type, t->data, &scale, 1);
    if (!isfinite(scale) || scale == 0)
        return pl_fail(err, PL_E_FORMAT, "%s: %s is %g; a finite number other than 0 is wanted",
                       k->g->part[0].path, name.text, (double)scale);
    last_residual(k, i, l)->x_scale = scale == 1 ? 0 : scale;
    return PL_OK;
}
