#include "model/bind.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/quant.h"

struct shape {
    char text[96];
};

/* "256 x 96 x 12" */
static struct shape shape_of(const uint64_t *dim, uint32_t n_dims)
{
    struct shape s = { "" };
    for (uint32_t i = 0, at = 0; i < n_dims && at < sizeof s.text; i++)
        at += (uint32_t)snprintf(s.text + at, sizeof s.text - at, "%s%" PRIu64, i ? " x " : "",
                                 dim[i]);
    return s;
}

/* third: 0 where two dimensions are wanted. */
static pl_status wrong_shape(const struct binder *k, const struct gguf_tensor *t, const char *name,
                             uint64_t first, uint64_t second, uint64_t third, pl_err *err)
{
    const uint64_t wanted[] = { first, second, third };
    return pl_fail(err, PL_E_FORMAT, "%s: tensor %s is %s; %s is wanted", k->g->part[0].path, name,
                   shape_of(t->dim, t->n_dims).text, shape_of(wanted, third ? 3 : 2).text);
}

/* n_rows values of each expert, where the file has them. */
static pl_status bind_expert_bias(struct binder *k, const char *name, uint32_t n_rows,
                                  const struct vector **out, pl_err *err)
{
    const struct dims *d = &k->h->dims;
    const struct gguf_tensor *t = find_tensor(k, name);
    if (!t) return PL_OK;
    if (!has_shape(t, n_rows, d->n_experts, 1))
        return wrong_shape(k, t, name, n_rows, d->n_experts, 0, err);
    return load_floats(k, t, n_rows * d->n_experts, out, err);
}

/* Rows first .. first + n_rows - 1 of every expert, of n_all each, copied out of their tensor: one
 * expert's after the other's. NULL: no memory. The caller's to free. */
static uint8_t *copy_rows(const struct binder *k, const struct gguf_tensor *t, uint32_t first,
                          uint32_t n_rows, uint32_t n_all)
{
    const size_t row = quant_row_bytes(t->type, t->dim[0]);
    uint8_t *all = malloc(k->h->dims.n_experts * n_rows * row);
    for (size_t e = 0; all && e < k->h->dims.n_experts; e++)
        memcpy(all + e * n_rows * row, (const uint8_t *)t->data + (e * n_all + first) * row,
               n_rows * row);
    return all;
}

static pl_status load_experts(struct binder *k, const struct gguf_tensor *t, const char *name,
                              uint32_t n_rows, uint32_t n_k, struct linear *out, pl_err *err)
{
    const struct dims *d = &k->h->dims;
    uint64_t n_bytes;
    const pl_status st = load_rows(k, t, name, 0, n_rows * d->n_experts, n_k, &n_bytes,
                                   &out->weight, err);
    if (st) return st;
    k->plan.expert_weight_bytes += n_bytes;
    k->plan.macs_per_token += (uint64_t)n_rows * n_k * d->n_experts_used;
    return PL_OK;
}

/* Gate and up of every expert out of one tensor, gate's rows first. */
static pl_status bind_fused_experts(struct binder *k, uint32_t i, struct expert_weights *e,
                                    pl_err *err)
{
    const struct dims *d = &k->h->dims;
    const struct layer_name name = name_of(i, "ffn_gate_up_exps.weight");
    const struct gguf_tensor *t = find_tensor(k, name.text);
    struct linear *const to[] = { &e->gate, &e->up };
    static const char *const part[] = { "gate", "up" };
    pl_status st = PL_OK;
    if (!has_shape(t, d->d_model, 2 * d->d_expert, d->n_experts))
        return wrong_shape(k, t, name.text, d->d_model, 2 * d->d_expert, d->n_experts, err);
    for (uint32_t p = 0; p < 2 && !st; p++) {
        char of_part[96];
        struct gguf_tensor rows = *t;
        uint8_t *copy = k->b ? copy_rows(k, t, p * d->d_expert, d->d_expert, 2 * d->d_expert)
                             : NULL;
        if (k->b && !copy)
            return pl_fail(err, PL_E_MEMORY, "%s: no memory to part %s", k->g->part[0].path,
                           name.text);
        snprintf(of_part, sizeof of_part, "%s.%s", name.text, part[p]);
        rows.data = copy;
        st = load_experts(k, &rows, of_part, d->d_expert, d->d_model, to[p], err);
        free(copy);
    }
    return st;
}

/* n_rows rows of each expert, one expert after the other, and their biases; name: "gate". */
static pl_status bind_experts(struct binder *k, uint32_t i, const char *name, uint32_t n_rows,
                              uint32_t n_k, struct linear *out, pl_err *err)
{
    const struct dims *d = &k->h->dims;
    char text[40];
    snprintf(text, sizeof text, "ffn_%s_exps.weight", name);
    const struct layer_name weight = name_of(i, text);
    const struct gguf_tensor *t = find_tensor(k, weight.text);
    if (!t) return missing_tensor(k, weight.text, err);
    if (!has_shape(t, n_k, n_rows, d->n_experts))
        return wrong_shape(k, t, weight.text, n_k, n_rows, d->n_experts, err);
    const pl_status st = load_experts(k, t, weight.text, n_rows, n_k, out, err);
    if (st) return st;
    snprintf(text, sizeof text, "ffn_%s" EXPERT_BIAS, name);
    return bind_expert_bias(k, name_of(i, text).text, n_rows, &out->bias, err);
}

/* The router is computed in f32, whatever its type in the file. */
static pl_status bind_router(struct binder *k, const char *name, const struct vector **out,
                             pl_err *err)
{
    const struct dims *d = &k->h->dims;
    const struct gguf_tensor *t = find_tensor(k, name);
    if (!t) return missing_tensor(k, name, err);
    if (!has_shape(t, d->d_model, d->n_experts, 1))
        return wrong_shape(k, t, name, d->d_model, d->n_experts, 0, err);
    k->plan.step_weight_bytes += (uint64_t)d->d_model * d->n_experts * sizeof(float);
    k->plan.macs_per_token += (uint64_t)d->d_model * d->n_experts;
    return load_floats(k, t, d->d_model * d->n_experts, out, err);
}

static pl_status bind_shared_expert(struct binder *k, uint32_t i, struct expert_weights *e,
                                    pl_err *err)
{
    const struct dims *d = &k->h->dims;
    pl_status st = bind_matrix(k, name_of(i, "ffn_gate_shexp.weight").text, d->d_shared, d->d_model,
                               &e->shared_gate.weight, err);
    if (!st)
        st = bind_matrix(k, name_of(i, "ffn_up_shexp.weight").text, d->d_shared, d->d_model,
                         &e->shared_up.weight, err);
    if (!st)
        st = bind_matrix(k, name_of(i, "ffn_down_shexp.weight").text, d->d_model, d->d_shared,
                         &e->shared_down.weight, err);
    if (!st)
        st = bind_vector(k, name_of(i, "ffn_gate_inp_shexp.weight").text, d->d_model,
                         k->h->arch->shared_router, &e->shared_router, err);
    return st;
}

pl_status bind_mixture(struct binder *k, uint32_t i, struct expert_weights *e, pl_err *err)
{
    const struct dims *d = &k->h->dims;
    pl_status st = bind_router(k, name_of(i, "ffn_gate_inp.weight").text, &e->router, err);
    if (!st)
        st = bind_vector(k, name_of(i, "ffn_gate_inp.bias").text, d->n_experts, OPTIONAL,
                         &e->router_bias, err);
    if (!st)
        st = bind_vector(k, name_of(i, "exp_probs_b.bias").text, d->n_experts, OPTIONAL,
                         &e->choice_bias, err);
    const bool is_fused = gguf_find(k->g, name_of(i, "ffn_gate_up_exps.weight").text);
    if (!st && is_fused) st = bind_fused_experts(k, i, e, err);
    if (!st && !is_fused) st = bind_experts(k, i, "gate", d->d_expert, d->d_model, &e->gate, err);
    if (!st && !is_fused) st = bind_experts(k, i, "up", d->d_expert, d->d_model, &e->up, err);
    if (!st) st = bind_experts(k, i, "down", d->d_model, d->d_expert, &e->down, err);
    return st || !d->d_shared ? st : bind_shared_expert(k, i, e, err);
}
