#include "model/bind.h"

#include <inttypes.h>

/* n_rows rows of each expert, one expert after the other. */
static pl_status bind_experts(struct binder *k, const char *name, uint32_t n_rows, uint32_t n_k,
                              struct matrix **out, pl_err *err)
{
    const struct dims *d = &k->h->dims;
    const struct gguf_tensor *t = find_tensor(k, name);
    uint64_t n_bytes;
    if (!t) return missing_tensor(k, name, err);
    if (t->n_dims != 3 || t->dim[0] != n_k || t->dim[1] != n_rows || t->dim[2] != d->n_experts)
        return pl_fail(err, PL_E_FORMAT,
                       "%s: tensor %s has %" PRIu32 " dimensions, the first two "
                       "%" PRIu64 " x %" PRIu64 "; %" PRIu32 " x %" PRIu32 " x %" PRIu32
                       " is wanted",
                       k->g->part[0].path, name, t->n_dims, t->dim[0],
                       t->n_dims > 1 ? t->dim[1] : 1, n_k, n_rows, d->n_experts);
    const pl_status st = load_rows(k, t, name, n_rows * d->n_experts, n_k, &n_bytes, out, err);
    if (st) return st;
    k->plan.expert_weight_bytes += n_bytes;
    k->plan.macs_per_token += (uint64_t)n_rows * n_k * d->n_experts_used;
    return PL_OK;
}

/* The router is computed in f32, whatever its type in the file. */
static pl_status bind_router(struct binder *k, const char *name, const struct vector **out,
                             pl_err *err)
{
    const struct dims *d = &k->h->dims;
    const struct gguf_tensor *t = find_tensor(k, name);
    if (!t) return missing_tensor(k, name, err);
    if (t->n_dims != 2 || t->dim[0] != d->d_model || t->dim[1] != d->n_experts)
        return pl_fail(err, PL_E_FORMAT, "%s: tensor %s is not %" PRIu32 " x %" PRIu32,
                       k->g->part[0].path, name, d->d_model, d->n_experts);
    k->plan.step_weight_bytes += (uint64_t)d->d_model * d->n_experts * sizeof(float);
    k->plan.macs_per_token += (uint64_t)d->d_model * d->n_experts;
    return load_floats(k, t, d->d_model * d->n_experts, out, err);
}

static pl_status bind_shared_expert(struct binder *k, uint32_t i, struct expert_weights *e,
                                    pl_err *err)
{
    const struct dims *d = &k->h->dims;
    pl_status st = bind_matrix(k, name_of(i, "ffn_gate_shexp.weight").text, d->d_ff, d->d_model,
                               (struct matrix **)&e->shared_gate, err);
    if (!st)
        st = bind_matrix(k, name_of(i, "ffn_up_shexp.weight").text, d->d_ff, d->d_model,
                         (struct matrix **)&e->shared_up, err);
    if (!st)
        st = bind_matrix(k, name_of(i, "ffn_down_shexp.weight").text, d->d_model, d->d_ff,
                         (struct matrix **)&e->shared_down, err);
    if (!st)
        st = bind_vector(k, name_of(i, "ffn_gate_inp_shexp.weight").text, d->d_model, REQUIRED,
                         &e->shared_router, err);
    return st;
}

pl_status bind_mixture(struct binder *k, uint32_t i, struct expert_weights *e, pl_err *err)
{
    const struct dims *d = &k->h->dims;
    e->is_normalised = k->h->arch->normalises_experts;
    pl_status st = bind_router(k, name_of(i, "ffn_gate_inp.weight").text, &e->router, err);
    if (!st)
        st = bind_experts(k, name_of(i, "ffn_gate_exps.weight").text, d->d_expert, d->d_model,
                          (struct matrix **)&e->gate, err);
    if (!st)
        st = bind_experts(k, name_of(i, "ffn_up_exps.weight").text, d->d_expert, d->d_model,
                          (struct matrix **)&e->up, err);
    if (!st)
        st = bind_experts(k, name_of(i, "ffn_down_exps.weight").text, d->d_model, d->d_expert,
                          (struct matrix **)&e->down, err);
    if (st || !k->h->arch->has_shared_expert) return st;
    return bind_shared_expert(k, i, e, err);
}
