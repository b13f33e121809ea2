/* Hyper-parameters out of a file's metadata, checked against what the forward pass can run. */
#include "model/arch.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "quant/quant.h"

/* "<architecture>.<suffix>" */
struct key {
    char text[128];
};

static struct key key_of(const struct hparams *h, const char *suffix)
{
    struct key k;
    snprintf(k.text, sizeof k.text, "%s.%s", h->arch->name, suffix);
    return k;
}

static pl_status read_u32(const struct hparams *h, const struct gguf *g, const char *suffix,
                          uint32_t *out, pl_err *err)
{
    return gguf_u32(g, key_of(h, suffix).text, out, err);
}

static pl_status read_u32_or(const struct hparams *h, const struct gguf *g, const char *suffix,
                             uint32_t otherwise, uint32_t *out, pl_err *err)
{
    return gguf_u32_or(g, key_of(h, suffix).text, otherwise, out, err);
}

static pl_status read_f32_or(const struct hparams *h, const struct gguf *g, const char *suffix,
                             float otherwise, float *out, pl_err *err)
{
    return gguf_f32_or(g, key_of(h, suffix).text, otherwise, out, err);
}

static pl_status read_arch(struct hparams *h, const struct gguf *g, pl_err *err)
{
    struct gguf_string name;
    pl_status st = gguf_string(g, "general.architecture", &name, err);
    if (st) return st;
    h->arch = arch_find(name);
    if (!h->arch)
        return pl_fail(err, PL_E_UNSUPPORTED, "%s: architecture \"%.*s\"; this version runs %s",
                       g->part[0].path, name.n > 40 ? 40 : (int)name.n, name.bytes, arch_names());
    return PL_OK;
}

/* Where all feed-forward is done by experts, d_ff is that of the one for all columns, or 0. */
static pl_status read_experts(struct hparams *h, const struct gguf *g, pl_err *err)
{
    struct dims *d = &h->dims;
    if (!h->arch->has_experts) {
        pl_status st = read_u32_or(h, g, "expert_count", 0, &d->n_experts, err);
        if (!st && d->n_experts)
            st = pl_fail(err, PL_E_UNSUPPORTED, "%s: a mixture of %" PRIu32 " experts of "
                         "architecture %s; of mixtures, this version runs qwen2moe and qwen3moe",
                         g->part[0].path, d->n_experts, h->arch->name);
        return st;
    }
    pl_status st = read_u32(h, g, "expert_count", &d->n_experts, err);
    if (!st) st = read_u32(h, g, "expert_used_count", &d->n_experts_used, err);
    if (!st) st = read_u32(h, g, "expert_feed_forward_length", &d->d_expert, err);
    if (!st && h->arch->has_shared_expert)
        st = read_u32_or(h, g, "expert_shared_feed_forward_length", d->d_ff, &d->d_ff, err);
    else if (!st)
        d->d_ff = 0;
    return st;
}

static pl_status read_dims(struct hparams *h, const struct gguf *g, pl_err *err)
{
    struct dims *d = &h->dims;
    pl_status st = read_u32(h, g, "embedding_length", &d->d_model, err);
    if (!st) st = read_u32(h, g, "block_count", &d->n_layers, err);
    if (!st) st = read_u32(h, g, "feed_forward_length", &d->d_ff, err);
    if (!st) st = read_u32(h, g, "attention.head_count", &d->n_heads, err);
    if (!st) st = read_u32_or(h, g, "attention.head_count_kv", d->n_heads, &d->n_kv_heads, err);
    if (!st) st = read_u32(h, g, "context_length", &h->ctx_tokens, err);
    if (st) return st;
    if (d->n_heads == 0)
        return pl_fail(err, PL_E_FORMAT, "%s: attention.head_count is 0", g->part[0].path);

    uint32_t d_value = 0;
    st = read_u32_or(h, g, "attention.key_length", d->d_model / d->n_heads, &d->d_head, err);
    if (!st) st = read_u32_or(h, g, "attention.value_length", d->d_head, &d_value, err);
    if (!st) st = read_u32_or(h, g, "rope.dimension_count", d->d_head, &h->n_rot, err);
    if (!st) st = read_experts(h, g, err);
    if (st) return st;

    if (d_value != d->d_head || h->n_rot != d->d_head)
        return pl_fail(err, PL_E_UNSUPPORTED,
                       "%s: key, value and RoPE lengths %" PRIu32 ", %" PRIu32 ", %" PRIu32
                       " differ; this version wants them equal",
                       g->part[0].path, d->d_head, d_value, h->n_rot);
    return PL_OK;
}

/* Bounds keep every later product of dimensions within 32 bits where that is relied upon. */
static pl_status check_dims(const struct hparams *h, const struct gguf *g, pl_err *err)
{
    const struct dims *d = &h->dims;
    const bool has_experts = h->arch->has_experts;
    const struct {
        const char *name;
        uint32_t value, max, multiple;
        bool is_absent;
    } limits[] = {
        { "embedding_length", d->d_model, 1 << 17, 32, false },
        { "block_count", d->n_layers, 1024, 1, false },
        { "feed_forward_length", d->d_ff, 1 << 20, 32, has_experts && !h->arch->has_shared_expert },
        { "attention.head_count", d->n_heads, 1024, 1, false },
        { "attention.head_count_kv", d->n_kv_heads, d->n_heads, 1, false },
        { "attention.key_length", d->d_head, 256, 32, false },
        { "context_length", h->ctx_tokens, 1 << 24, 1, false },
        { "vocabulary size", d->n_vocab, 1 << 21, 1, false },
        { "expert_count", d->n_experts, 4096, 1, !has_experts },
        { "expert_used_count", d->n_experts_used, d->n_experts, 1, !has_experts },
        { "expert_feed_forward_length", d->d_expert, 1 << 16, 32, !has_experts },
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        if (limits[i].is_absent) continue;
        if (limits[i].value == 0 || limits[i].value > limits[i].max ||
            limits[i].value % limits[i].multiple)
            return pl_fail(err, PL_E_UNSUPPORTED,
                           "%s: %s is %" PRIu32 "; 1..%" PRIu32 " and a multiple of %" PRIu32
                           " is wanted",
                           g->part[0].path, limits[i].name, limits[i].value, limits[i].max,
                           limits[i].multiple);
    }
    if (d->n_heads % d->n_kv_heads)
        return pl_fail(err, PL_E_FORMAT, "%s: %" PRIu32 " query heads over %" PRIu32 " KV heads; "
                       "a multiple is wanted", g->part[0].path, d->n_heads, d->n_kv_heads);
    if (!(h->norm_eps > 0 && h->norm_eps < 1))
        return pl_fail(err, PL_E_FORMAT, "%s: layer_norm_rms_epsilon is %g; 0 < eps < 1 is wanted",
                       g->part[0].path, (double)h->norm_eps);
    return PL_OK;
}

static bool equals(struct gguf_string s, const char *text)
{
    return s.n == strlen(text) && !memcmp(s.bytes, text, s.n);
}

static pl_status read_rope(struct hparams *h, const struct gguf *g, pl_err *err)
{
    struct rope_params *r = &h->rope;
    const struct key type_key = key_of(h, "rope.scaling.type");
    struct gguf_string type = { "none", 4 };
    float linear = 1;

    pl_status st = read_f32_or(h, g, "rope.freq_base", 10000, &r->base, err);
    if (!st) st = read_f32_or(h, g, "rope.scale_linear", 1, &linear, err);  /* older files */
    if (!st) st = read_f32_or(h, g, "rope.scaling.factor", linear, &r->factor, err);
    if (!st && gguf_has(g, type_key.text)) st = gguf_string(g, type_key.text, &type, err);
    if (!st)
        st = read_u32_or(h, g, "rope.scaling.original_context_length", h->ctx_tokens,
                         &r->original_ctx, err);
    if (!st) st = read_f32_or(h, g, "rope.scaling.yarn_beta_fast", 32, &r->yarn_beta_fast, err);
    if (!st) st = read_f32_or(h, g, "rope.scaling.yarn_beta_slow", 1, &r->yarn_beta_slow, err);
    if (!st) st = read_f32_or(h, g, "rope.scaling.yarn_ext_factor", 1, &r->yarn_ext_factor, err);
    if (!st) st = read_f32_or(h, g, "rope.scaling.attn_factor", 1, &r->yarn_attn_factor, err);
    if (st) return st;

    if (equals(type, "yarn"))
        r->scaling = ROPE_SCALING_YARN;
    else if (equals(type, "linear") || (equals(type, "none") && r->factor != 1 && linear != 1))
        r->scaling = ROPE_SCALING_LINEAR;
    else if (equals(type, "none"))
        r->scaling = ROPE_SCALING_NONE;
    else
        return pl_fail(err, PL_E_UNSUPPORTED,
                       "%s: RoPE scaling \"%.*s\"; none, linear and yarn are run", g->part[0].path,
                       type.n > 20 ? 20 : (int)type.n, type.bytes);
    if (!(r->base > 1) || !(r->factor > 0) || !isfinite(r->base) || !isfinite(r->factor))
        return pl_fail(err, PL_E_FORMAT, "%s: RoPE base %g and factor %g; base > 1 and factor > 0 "
                       "are wanted", g->part[0].path, (double)r->base, (double)r->factor);
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

pl_status hparams_read(struct hparams *h, const struct gguf *g, pl_err *err)
{
    *h = (struct hparams){ .embed_scale = 1 };
    pl_status st = read_arch(h, g, err);
    if (!st) st = read_dims(h, g, err);
    if (!st)
        st = gguf_f32(g, key_of(h, "attention.layer_norm_rms_epsilon").text, &h->norm_eps, err);
    if (!st) st = read_rope(h, g, err);
    if (st) return st;

    const struct gguf_tensor *embedding = gguf_find(g, "token_embd.weight");
    if (!embedding || embedding->n_dims != 2)
        return pl_fail(err, PL_E_FORMAT, "%s: no matrix token_embd.weight", g->part[0].path);
    h->dims.n_vocab = embedding->dim[1] > UINT32_MAX ? UINT32_MAX : (uint32_t)embedding->dim[1];
    st = check_dims(h, g, err);
    if (st) return st;

    h->q_scale = 1 / sqrtf((float)h->dims.d_head);
    read_name(h, g);
    count_weights(h, g);
    return h->arch->read ? h->arch->read(h, g, err) : PL_OK;
}
