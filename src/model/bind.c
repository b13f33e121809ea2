/* Names in the file -> weights. One walk serves planning and loading: what is planned is what is
 * loaded. Every tensor of the file must find its place: one that nobody reads would mean a model
 * computed wrongly. */
#include "model/bind.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "model/rope.h"
#include "quant/quant.h"

const struct gguf_tensor *find_tensor(struct binder *k, const char *name)
{
    const struct gguf_tensor *t = gguf_find(k->g, name);
    if (t) k->is_bound[t - k->g->tensor] = true;
    return t;
}

pl_status missing_tensor(const struct binder *k, const char *name, pl_err *err)
{
    return pl_fail(err, PL_E_FORMAT, "%s: tensor %s is missing; architecture %s needs it",
                   k->g->part[0].path, name, k->h->arch->name);
}

/* Packs a tensor of n_rows rows altogether, whose shape has been checked. */
pl_status load_rows(struct binder *k, const struct gguf_tensor *t, const char *name,
                    uint32_t n_rows, uint32_t n_k, uint64_t *n_bytes, struct matrix **out,
                    pl_err *err)
{
    *n_bytes = k->ops->matrix_bytes(t->type, n_rows, n_k);
    if (!*n_bytes)
        return pl_fail(err, PL_E_UNSUPPORTED,
                       "%s: tensor %s: rows of %" PRIu32 " weights of type %s cannot be packed",
                       k->g->part[0].path, name, n_k, quant_traits(t->type)->name);
    k->plan.weights_bytes += *n_bytes;
    if (!k->b) return PL_OK;

    const struct weight_view view = {
        .name = name, .type = t->type, .n_rows = n_rows, .n_k = n_k, .data = t->data
    };
    return k->ops->load_matrix(k->b, &view, out, err);
}

pl_status bind_matrix(struct binder *k, const char *name, uint32_t n_rows, uint32_t n_k,
                      struct matrix **out, pl_err *err)
{
    const struct gguf_tensor *t = find_tensor(k, name);
    uint64_t n_bytes;
    if (!t) return missing_tensor(k, name, err);
    if (t->n_dims != 2 || t->dim[0] != n_k || t->dim[1] != n_rows)
        return pl_fail(
            err, PL_E_FORMAT,
            "%s: tensor %s is %" PRIu64 " x %" PRIu64 "; %" PRIu32 " x %" PRIu32 " is wanted",
            k->g->part[0].path, name, t->dim[0], t->n_dims > 1 ? t->dim[1] : 1, n_k, n_rows);
    const pl_status st = load_rows(k, t, name, n_rows, n_k, &n_bytes, out, err);
    if (st) return st;
    k->plan.step_weight_bytes += n_bytes;
    k->plan.macs_per_token += (uint64_t)n_rows * n_k;
    return PL_OK;
}

/* Values of a tensor as f32. */
pl_status load_floats(struct binder *k, const struct gguf_tensor *t, uint32_t n,
                      const struct vector **out, pl_err *err)
{
    k->plan.weights_bytes += (uint64_t)n * sizeof(float);
    if (!k->b) return PL_OK;
    quant_dequantise(t->type, t->data, k->scratch, n);
    return k->ops->load_vector(k->b, k->scratch, n, (struct vector **)out, err);
}

pl_status bind_vector(struct binder *k, const char *name, uint32_t n, enum presence presence,
                      const struct vector **out, pl_err *err)
{
    if (out) *out = NULL;
    if (presence == ABSENT) return PL_OK;
    const struct gguf_tensor *t = find_tensor(k, name);
    if (!t) return presence == OPTIONAL ? PL_OK : missing_tensor(k, name, err);
    if (t->n_dims != 1 || t->dim[0] != n)
        return pl_fail(err, PL_E_FORMAT,
                       "%s: tensor %s has %" PRIu64 " values; %" PRIu32 " are wanted",
                       k->g->part[0].path, name, t->dim[0], n);
    return load_floats(k, t, n, out, err);
}

struct layer_name name_of(uint32_t layer, const char *name)
{
    struct layer_name n;
    snprintf(n.text, sizeof n.text, "blk.%" PRIu32 ".%s", layer, name);
    return n;
}

static pl_status bind_feed_forward(struct binder *k, uint32_t i, struct layer *l, pl_err *err)
{
    const struct dims *d = &k->h->dims;
    pl_status st =
        bind_matrix(k, name_of(i, "ffn_gate.weight").text, d->d_ff, d->d_model, &l->gate, err);
    if (!st)
        st = bind_matrix(k, name_of(i, "ffn_up.weight").text, d->d_ff, d->d_model, &l->up, err);
    if (!st)
        st = bind_matrix(k, name_of(i, "ffn_down.weight").text, d->d_model, d->d_ff, &l->down, err);
    return st;
}

static pl_status bind_layer(struct binder *k, uint32_t i, struct layer *l, pl_err *err)
{
    const struct dims *d = &k->h->dims;
    const struct arch *a = k->h->arch;
    const uint32_t q_rows = d->n_heads * d->d_head, kv_rows = d->n_kv_heads * d->d_head;
    const struct {
        const char *name;
        uint32_t n_rows, n_k;
        struct matrix **out;
    } matrices[] = {
        { "attn_q.weight", q_rows, d->d_model, (struct matrix **)&l->qkv.q },
        { "attn_k.weight", kv_rows, d->d_model, (struct matrix **)&l->qkv.k },
        { "attn_v.weight", kv_rows, d->d_model, (struct matrix **)&l->qkv.v },
        { "attn_output.weight", d->d_model, q_rows, &l->attention_output },
    };
    const struct {
        const char *name;
        uint32_t n;
        enum presence presence;
        const struct vector **out;
    } vectors[] = {
        { "attn_norm.weight", d->d_model, REQUIRED, (const struct vector **)&l->attention_norm },
        { "attn_q.bias", q_rows, a->qkv_bias, &l->qkv.bias_q },
        { "attn_k.bias", kv_rows, a->qkv_bias, &l->qkv.bias_k },
        { "attn_v.bias", kv_rows, a->qkv_bias, &l->qkv.bias_v },
        { "attn_q_norm.weight", d->d_head, a->head_norms, &l->qkv.norm_q },
        { "attn_k_norm.weight", d->d_head, a->head_norms, &l->qkv.norm_k },
        { "post_attention_norm.weight", d->d_model, a->post_norms,
          (const struct vector **)&l->post_attention_norm },
        { "ffn_norm.weight", d->d_model, REQUIRED, (const struct vector **)&l->feed_forward_norm },
        { "post_ffw_norm.weight", d->d_model, a->post_norms,
          (const struct vector **)&l->post_feed_forward_norm },
    };
    pl_status st = PL_OK;
    for (size_t m = 0; !st && m < sizeof matrices / sizeof *matrices; m++)
        st = bind_matrix(k, name_of(i, matrices[m].name).text, matrices[m].n_rows, matrices[m].n_k,
                         matrices[m].out, err);
    for (size_t v = 0; !st && v < sizeof vectors / sizeof *vectors; v++)
        st = bind_vector(k, name_of(i, vectors[v].name).text, vectors[v].n, vectors[v].presence,
                         vectors[v].out, err);
    if (st) return st;
    return a->has_experts ? bind_mixture(k, i, &l->experts, err) : bind_feed_forward(k, i, l, err);
}

static bool is_local(const struct hparams *h, uint32_t layer)
{
    return h->window && (layer + 1) % h->window_period != 0;
}

static pl_status load_rope(struct binder *k, const struct rope_params *r, const float *factors,
                           struct rope **out, pl_err *err)
{
    k->plan.weights_bytes += (uint64_t)k->ctx_tokens * k->h->dims.d_head * sizeof(float);
    if (!k->b) return PL_OK;
    rope_table(r, k->h->dims.d_head, factors, k->ctx_tokens, k->scratch);
    return k->ops->load_rope(k->b, k->scratch, k->ctx_tokens, k->h->arch->rope_interleaved, out,
                             err);
}

/* One table for all layers, or two where some are local. */
static pl_status bind_ropes(struct binder *k, struct layer *layers, pl_err *err)
{
    const struct hparams *h = k->h;
    const uint32_t n_pairs = h->dims.d_head / 2;
    struct rope *global = NULL, *local = NULL;
    float factors[128];
    const struct gguf_tensor *t = find_tensor(k, "rope_freqs.weight");

    if (t) {
        if (t->n_dims != 1 || t->dim[0] != n_pairs || n_pairs > 128)
            return pl_fail(err, PL_E_FORMAT,
                           "%s: rope_freqs.weight has %" PRIu64 " values; %" PRIu32 " are wanted",
                           k->g->part[0].path, t->dim[0], n_pairs);
        quant_dequantise(t->type, t->data, factors, n_pairs);
        for (uint32_t i = 0; i < n_pairs; i++)
            if (!(factors[i] > 0))
                return pl_fail(err, PL_E_FORMAT,
                               "%s: rope_freqs.weight[%" PRIu32 "] is %g; more "
                               "than 0 is wanted",
                               k->g->part[0].path, i, (double)factors[i]);
    }
    pl_status st = load_rope(k, &h->rope, t ? factors : NULL, &global, err);
    if (!st && h->window) st = load_rope(k, &h->rope_local, NULL, &local, err);
    if (st || !layers) return st;
    for (uint32_t i = 0; i < h->dims.n_layers; i++) {
        layers[i].rope = is_local(h, i) ? local : global;
        layers[i].window = is_local(h, i) ? h->window : 0;
    }
    return PL_OK;
}

static pl_status bind_output(struct binder *k, struct model *m, pl_err *err)
{
    const struct dims *d = &k->h->dims;
    pl_status st = bind_matrix(k, "token_embd.weight", d->n_vocab, d->d_model, &m->embedding, err);
    if (st) return st;
    if (!gguf_find(k->g, "output.weight")) {
        m->output = m->embedding;
    } else {
        /* a step reads single rows of an embedding that is not the output head too */
        k->plan.step_weight_bytes = k->plan.macs_per_token = 0;
        st = bind_matrix(k, "output.weight", d->n_vocab, d->d_model, &m->output, err);
    }
    if (!st)
        st = bind_vector(k, "output_norm.weight", d->d_model, REQUIRED,
                         (const struct vector **)&m->output_norm, err);
    return st;
}

static pl_status check_all_bound(const struct binder *k, pl_err *err)
{
    for (uint64_t i = 0; i < k->g->n_tensors; i++)
        if (!k->is_bound[i]) {
            const struct gguf_string name = k->g->tensor[i].name;
            return pl_fail(
                err, PL_E_UNSUPPORTED,
                "%s: tensor %.*s has no place in architecture %s as this version runs it",
                k->g->part[0].path, name.n > 60 ? 60 : (int)name.n, name.bytes, k->h->arch->name);
        }
    return PL_OK;
}

/* Binds into *m; with k->b NULL nothing is loaded and m only serves as a place to write to. */
static pl_status bind_all(struct binder *k, struct model *m, pl_err *err)
{
    const struct dims *d = &k->h->dims;
    const size_t n_rope = (size_t)k->ctx_tokens * d->d_head;
    const size_t n_attended = (size_t)d->n_heads * d->d_head;
    const size_t n_routed = (size_t)d->d_model * (d->n_experts ? d->n_experts : 1);
    const size_t longest = n_attended > n_routed ? n_attended : n_routed;
    pl_status st = PL_OK;

    k->is_bound = calloc(k->g->n_tensors, sizeof *k->is_bound);
    if (k->b) k->scratch = malloc((n_rope > longest ? n_rope : longest) * sizeof *k->scratch);
    if (!k->is_bound || (k->b && !k->scratch))
        st = pl_fail(err, PL_E_MEMORY, "%s: no memory for the tables of %" PRIu64 " tensors",
                     k->g->part[0].path, k->g->n_tensors);
    if (!st) st = bind_output(k, m, err);
    for (uint32_t i = 0; !st && i < d->n_layers; i++) {
        struct layer nowhere;
        st = bind_layer(k, i, k->b ? &m->layer[i] : &nowhere, err);
    }
    if (!st) st = bind_ropes(k, k->b ? m->layer : NULL, err);
    if (!st) st = check_all_bound(k, err);
    if (!st && k->b) st = k->ops->load_done(k->b, err);
    free(k->is_bound);
    free(k->scratch);
    return st;
}

pl_status model_plan(struct model_plan *out, const struct gguf *g, const struct hparams *h,
                     const struct backend_ops *ops, uint32_t ctx_tokens, pl_err *err)
{
    struct binder k = { .g = g, .h = h, .ops = ops, .ctx_tokens = ctx_tokens };
    struct model nowhere = { 0 };
    const pl_status st = bind_all(&k, &nowhere, err);
    *out = k.plan;
    return st;
}

pl_status model_open(struct model **out, const struct gguf *g, const struct hparams *h,
                     struct backend *b, uint32_t ctx_tokens, pl_err *err)
{
    *out = NULL;
    struct binder k = { .g = g, .h = h, .b = b, .ops = b->ops, .ctx_tokens = ctx_tokens };
    struct model *m = calloc(1, sizeof *m);
    if (m) m->layer = calloc(h->dims.n_layers, sizeof *m->layer);
    if (!m || !m->layer) {
        model_close(m);
        return pl_fail(err, PL_E_MEMORY, "no memory for %" PRIu32 " layers", h->dims.n_layers);
    }
    m->hparams = *h;
    m->backend = b;
    const pl_status st = bind_all(&k, m, err);
    if (st) {
        model_close(m);
        return st;
    }
    *out = m;
    return PL_OK;
}

void model_close(struct model *m)
{
    if (!m) return;
    free(m->layer); /* weights belong to the backend */
    free(m);
}
