/* Hyper-parameters out of a file's metadata, checked against what the forward pass can run. */
#include "model/hparams_read.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/dims_check.h"
#include "quant/quant.h"

static pl_status read_arch(struct hparams *h, const struct gguf *g, pl_err *err)
{
    struct gguf_string name;
    pl_status st = gguf_string(g, "general.architecture", &name, err);
    if (st) return st;
    h->arch = arch_find(name);
    if (!h->arch)
        return pl_fail(err, PL_E_UNSUPPORTED, "%s: architecture \"%.*s\"; this version runs %s",
                       g->part[0].path, name.n > 40 ? 40 : (int)name.n, name.bytes,
                       arch_names(false).text);
    return PL_OK;
}

/* A mixture has dense layers where some come first, and maybe an expert for all columns. */
static pl_status read_others_than_experts(struct hparams *h, const struct gguf *g, pl_err *err)
{
    const struct arch *a = h->arch;
    struct dims *d = &h->dims;
    uint32_t n_shared = 0, d_shared = a->shared_expert == REQUIRED ? d->d_ff : 0;
    if (a->has_narrow_shared) d_shared = d->d_expert;
    pl_status st = read_u32_or(h, g, "leading_dense_block_count", 0, &h->n_leading_dense, err);
    if (!st && (h->n_leading_dense > d->n_layers || (h->n_leading_dense && !a->may_lead_dense)))
        st = pl_fail(err, PL_E_UNSUPPORTED, "%s: %" PRIu32 " leading dense layers; architecture %s "
                     "of %" PRIu32 " layers is run with %s", g->part[0].path, h->n_leading_dense,
                     a->name, d->n_layers, a->may_lead_dense ? "no more than these" : "none");
    if (!st) st = read_u32_or(h, g, "interleave_moe_layer_step", 1, &h->experts_period, err);
    if (!st && h->experts_period != 1 && !(a->may_interleave_dense && h->experts_period))
        st = pl_fail(err, PL_E_UNSUPPORTED, "%s: interleave_moe_layer_step is %" PRIu32 "; "
                     "architecture %s is run with %s",
                     g->part[0].path, h->experts_period, a->name,
                     a->may_interleave_dense ? "1 and more" : "1 alone");
    d->has_both_ffs = a->has_both_ffs;
    if (!h->n_leading_dense && h->experts_period == 1 && !a->has_both_ffs) d->d_ff = 0;
    if (st || a->shared_expert == ABSENT) return st;
    st = read_u32_or(h, g, "expert_shared_count", 0, &n_shared, err);
    if (n_shared && n_shared <= UINT32_MAX / (d->d_expert ? d->d_expert : 1))
        d_shared = n_shared * d->d_expert;
    return st ? st
              : read_u32_or(h, g, "expert_shared_feed_forward_length", d_shared, &d->d_shared, err);
}

static pl_status read_experts(struct hparams *h, const struct gguf *g, pl_err *err)
{
    const struct arch *a = h->arch;
    struct dims *d = &h->dims;
    pl_status st = a->experts == REQUIRED
                       ? read_u32(h, g, "expert_count", &d->n_experts, err)
                       : read_u32_or(h, g, "expert_count", 0, &d->n_experts, err);
    if (!st && d->n_experts && a->experts == ABSENT)
        st = pl_fail(err, PL_E_UNSUPPORTED, "%s: a mixture of %" PRIu32 " experts of architecture "
                     "%s; of mixtures, this version runs %s", g->part[0].path, d->n_experts,
                     a->name, arch_names(true).text);
    if (st || (!d->n_experts && a->experts != REQUIRED)) return st;
    st = read_of_layers(h, g, "expert_used_count", &d->n_experts_used, err);
    const uint32_t n_parts = a->has_wide_experts ? 1 : d->n_experts_used;
    if (!st)
        st = read_of_layers_or(h, g, "expert_feed_forward_length", n_parts ? d->d_ff / n_parts : 0,
                               &d->d_expert, err);
    return st ? st : read_others_than_experts(h, g, err);
}

static pl_status read_feed_forward(struct hparams *h, const struct gguf *g, pl_err *err)
{
    if (h->arch->has_layer_heads || h->arch->is_single)
        return read_widest(h, g, "feed_forward_length", &h->dims.d_ff, err);
    return h->arch->experts == REQUIRED
               ? read_of_layers_or(h, g, "feed_forward_length", 0, &h->dims.d_ff, err)
               : read_of_layers(h, g, "feed_forward_length", &h->dims.d_ff, err);
}

/* Layers for tokens beyond the next one, which some models end with, are left out. */
static pl_status read_layers(struct hparams *h, const struct gguf *g, pl_err *err)
{
    uint32_t n_beyond = 0;
    pl_status st = read_u32(h, g, "block_count", &h->n_blocks, err);
    if (!st) st = read_u32_or(h, g, "nextn_predict_layers", 0, &n_beyond, err);
    if (!st && n_beyond && (n_beyond >= h->n_blocks || n_beyond > BACKEND_MAX_N_LAYERS))
        st = pl_fail(err, PL_E_FORMAT, "%s: nextn_predict_layers is %" PRIu32 " of %" PRIu32
                     " blocks; fewer are wanted, and %d at most", g->part[0].path, n_beyond,
                     h->n_blocks, BACKEND_MAX_N_LAYERS);
    h->dims.n_layers = h->n_blocks - n_beyond;
    return st;
}

static pl_status read_dims(struct hparams *h, const struct gguf *g, pl_err *err)
{
    struct dims *d = &h->dims;
    pl_status st = read_u32(h, g, "embedding_length", &d->d_model, err);
    if (!st) st = read_layers(h, g, err);
    if (!st) st = read_feed_forward(h, g, err);
    if (!st) st = read_of_layers(h, g, "attention.head_count", &d->n_heads, err);
    if (!st && h->arch->has_layer_heads)
        st = read_of_layer(h, g, "attention.head_count_kv", d->n_layers ? d->n_layers - 1 : 0,
                           d->n_heads, &d->n_kv_heads, err);
    else if (!st && h->arch->mixer_place == MIXERS_WITHOUT_KV_HEADS)
        st = read_widest(h, g, "attention.head_count_kv", &d->n_kv_heads, err);
    else if (!st)
        st = read_of_layers_or(h, g, "attention.head_count_kv", d->n_heads, &d->n_kv_heads, err);
    if (!st) st = read_u32(h, g, "context_length", &h->ctx_tokens, err);
    if (st) return st;
    if (d->n_heads == 0)
        return pl_fail(err, PL_E_FORMAT, "%s: attention.head_count is 0", g->part[0].path);

    uint32_t d_value = 0;
    st = read_of_layers_or(h, g, "attention.key_length", d->d_model / d->n_heads, &d->d_head, err);
    if (!st) st = read_of_layers_or(h, g, "attention.value_length", d->d_head, &d_value, err);
    if (!st) st = read_experts(h, g, err);
    if (!st) st = mixer_dims_read(h, g, err);
    d->has_gates = h->arch->gates_attention;
    if (!st && h->arch->has_latents) return latents_read(h, g, err);
    if (!st && d_value != d->d_head)
        st = pl_fail(err, PL_E_UNSUPPORTED, "%s: key and value lengths %" PRIu32 " and %" PRIu32
                     " differ; this version wants them equal", g->part[0].path, d->d_head, d_value);
    return st;
}

static pl_status not_run(const struct gguf *g, const struct dims_fault *f, pl_err *err)
{
    return pl_fail(err, PL_E_UNSUPPORTED,
                   "%s: %s is %" PRIu32 "; 1..%" PRIu32 " and a multiple of %" PRIu32 " is wanted",
                   g->part[0].path, f->name, f->value, f->max, f->multiple);
}

static pl_status check_dims(const struct hparams *h, const struct gguf *g, pl_err *err)
{
    const struct dims *d = &h->dims;
    struct dims_fault fault = { "context_length", h->ctx_tokens, MAX_CTX_TOKENS, 1 };
    if (!h->ctx_tokens || h->ctx_tokens > fault.max) return not_run(g, &fault, err);
    if (h->arch->experts == REQUIRED && !d->n_experts) {    /* 0 would stand for a dense model */
        fault = (struct dims_fault){ "expert_count", 0, BACKEND_MAX_N_EXPERTS, 1 };
        return not_run(g, &fault, err);
    }
    if (h->arch->shared_expert == REQUIRED && !d->d_shared) {
        fault = (struct dims_fault){ "expert_shared_feed_forward_length", 0, 1 << 20, 32 };
        return not_run(g, &fault, err);
    }
    if (dims_find_fault(d, &fault)) return not_run(g, &fault, err);
    if (d->n_heads % d->n_kv_heads)
        return pl_fail(err, PL_E_FORMAT, "%s: %" PRIu32 " query heads over %" PRIu32 " KV heads; "
                       "a multiple is wanted", g->part[0].path, d->n_heads, d->n_kv_heads);
    if (!(h->norm_eps > 0 && h->norm_eps < 1))
        return pl_fail(err, PL_E_FORMAT, "%s: layer_norm_%sepsilon is %g; 0 < eps < 1 is wanted",
                       g->part[0].path, h->arch->has_layer_norms ? "" : "rms_",
                       (double)h->norm_eps);
    return PL_OK;
}

static void read_name(struct hparams *h, const struct gguf *g)
{
    struct gguf_string name;
    if (gguf_has(g, "general.name") && !gguf_string(g, "general.name", &name, NULL)) {
        snprintf(h->name, sizeof h->name, "%.*s", name.n > 95 ? 95 : (int)name.n, name.bytes);
    } else {
        const char *slash = strrchr(g->part[0].path, '/');
        snprintf(h->name, sizeof h->name, "%.95s", slash ? slash + 1 : g->part[0].path);
    }
}

static void count_weights(struct hparams *h, const struct gguf *g)
{
    uint64_t bytes_of[64] = { 0 };
    for (uint64_t i = 0; i < g->n_tensors; i++) {
        const struct gguf_tensor *t = &g->tensor[i];
        uint64_t n = 1;
        for (uint32_t d = 0; d < t->n_dims; d++) n *= t->dim[d];
        h->n_parameters += n;
        if (t->type < 64 && t->n_dims > 1) bytes_of[t->type] += t->n_bytes;
    }
    for (uint32_t type = 0; type < 64; type++)
        if (bytes_of[type] > bytes_of[h->main_type]) h->main_type = type;
}

static bool ends_with(struct gguf_string s, const char *end)
{
    const size_t n = strlen(end);
    return s.n > n && !memcmp(s.bytes + s.n - n, end, n);
}

static void find_biases(struct hparams *h, const struct gguf *g)
{
    for (uint64_t i = 0; i < g->n_tensors; i++) {
        const struct gguf_string name = g->tensor[i].name;
        h->dims.has_ff_biases |= ends_with(name, "." GATE_BIAS) || ends_with(name, "." UP_BIAS);
        h->dims.has_expert_biases |= ends_with(name, EXPERT_BIAS);
    }
}

/* ---- the model's ends ----------------------------------------------------------------------- */

/* A multiplier of 0 is not set. */
static pl_status read_multiplier(struct hparams *h, const struct gguf *g, const char *suffix,
                                 bool has_it, float *out, pl_err *err)
{
    *out = 1;
    if (!has_it) return PL_OK;
    const pl_status st = read_f32_or(h, g, suffix, 1, out, err);
    if (*out == 0) *out = 1;
    return st;
}

static pl_status read_scales(struct hparams *h, const struct gguf *g, pl_err *err)
{
    const bool has_all = h->arch->has_multipliers, times = h->arch->multiplies_logits;
    pl_status st = read_multiplier(h, g, "embedding_scale", has_all, &h->embed_scale, err);
    if (!st) st = read_multiplier(h, g, "residual_scale", has_all, &h->residual_scale, err);
    if (!st) st = read_multiplier(h, g, "logit_scale", has_all || times, &h->logit_scale, err);
    if (!times) h->logit_scale = 1 / h->logit_scale;    /* Granite's file has a divisor */
    if (!st)
        st = read_f32_or(h, g, "final_logit_softcapping", h->arch->logit_cap, &h->logit_cap, err);
    return st;
}

static pl_status check_finite(const struct hparams *h, const struct gguf *g, pl_err *err)
{
    const struct attention_params *a = &h->layer[0].attention;
    const struct {
        const char *name;
        float value, least;
    } all[] = {
        { "embedding_scale", h->embed_scale, -INFINITY },
        { "residual_scale", h->residual_scale, -INFINITY },
        { "logit_scale or its inverse", h->logit_scale, -INFINITY },
        { "attention.scale", a->q_scale, -INFINITY },
        { "attn_logit_softcapping", a->score_cap, 0 },
        { "final_logit_softcapping", h->logit_cap, 0 },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!isfinite(all[i].value) || all[i].value < all[i].least)
            return pl_fail(err, PL_E_FORMAT, "%s: %s is %g; a finite number%s is wanted",
                           g->part[0].path, all[i].name, (double)all[i].value,
                           all[i].least < 0 ? "" : " of 0 or more");
    return PL_OK;
}

static pl_status read_vocab(struct hparams *h, const struct gguf *g, pl_err *err)
{
    const struct gguf_tensor *embedding = gguf_find(g, "token_embd.weight");
    if (!embedding || embedding->dim[1] < 2 || embedding->dim[2] > 1 || embedding->dim[3] > 1)
        return pl_fail(err, PL_E_FORMAT, "%s: no matrix token_embd.weight", g->part[0].path);
    h->dims.n_vocab = embedding->dim[1] > UINT32_MAX ? UINT32_MAX : (uint32_t)embedding->dim[1];
    return PL_OK;
}

/* As files number them. */
static pl_status read_pooling(struct hparams *h, const struct gguf *g, pl_err *err)
{
    static const pl_pooling kinds[] = { PL_POOLING_NONE, PL_POOLING_MEAN, PL_POOLING_CLS,
                                        PL_POOLING_LAST, PL_POOLING_RANK };
    const uint32_t n = sizeof kinds / sizeof *kinds;
    uint32_t kind;
    if (!gguf_has(g, key_of(h, "pooling_type").text)) return PL_OK;
    const pl_status st = read_u32(h, g, "pooling_type", &kind, err);
    if (st) return st;
    if (kind >= n)
        return pl_fail(err, PL_E_UNSUPPORTED, "%s: pooling_type is %" PRIu32 "; 0 (none), "
                       "1 (mean), 2 (cls), 3 (last) or 4 (rank) is wanted", g->part[0].path, kind);
    h->pooling = kinds[kind];
    return PL_OK;
}

pl_status hparams_read(struct hparams *h, const struct gguf *g, pl_err *err)
{
    *h = (struct hparams){ .experts_period = 1 };
    pl_status st = read_arch(h, g, err);
    if (!st) st = read_dims(h, g, err);
    if (!st)
        st = gguf_f32(g, key_of(h, h->arch->has_layer_norms ? "attention.layer_norm_epsilon"
                                                            : "attention.layer_norm_rms_epsilon")
                             .text, &h->norm_eps, err);
    if (!st) st = rope_params_read(h, g, err);
    if (!st) st = read_vocab(h, g, err);
    if (!st) st = check_dims(h, g, err);
    if (st) return st;

    read_name(h, g);
    count_weights(h, g);
    find_biases(h, g);
    st = read_scales(h, g, err);
    if (!st) st = layers_read(h, g, err);
    if (!st) st = check_finite(h, g, err);
    if (!st) st = read_pooling(h, g, err);
    return st ? st : check_other_keys(h, g, err);
}

void hparams_free(struct hparams *h)
{
    free(h->layer);
    h->layer = NULL;
}
