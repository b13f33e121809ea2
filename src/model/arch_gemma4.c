/* Gemma 4: local layers with small heads between global ones with large ones, whose values may be
 * the keys' product; norms of Q, K and V instead of a scale of scores; norms behind attention and
 * feed-forward, and a number at every layer's end. The large ones have a dense part beside their
 * experts. The small ones get a part of the token itself in every layer, and their last layers read
 * the keys and values of the last layer before them that is of their own kind. */
#include <inttypes.h>
#include <math.h>

#include "backend/dims_check.h"
#include "model/gemma_read.h"

static pl_status heads_of_layer(const struct hparams *h, const struct gguf *g, uint32_t i,
                                struct heads *out, pl_err *err)
{
    const struct dims *d = &h->dims;
    const bool has_own = is_local_layer(h, i);
    uint32_t d_value = 0;
    *out = (struct heads){ d->n_heads, 0, d->d_head };
    pl_status st = read_of_layer(h, g, "attention.head_count_kv", i, d->n_heads, &out->n_kv_heads,
                                 err);
    if (!st && has_own)
        st = read_u32_or(h, g, "attention.key_length_swa", d->d_head, &out->d_head, err);
    if (!st && has_own)
        st = read_u32_or(h, g, "attention.value_length_swa", out->d_head, &d_value, err);
    if (!st && has_own && d_value != out->d_head)
        st = pl_fail(err, PL_E_UNSUPPORTED, "%s: key and value lengths %" PRIu32 " and %" PRIu32
                     " of local layers differ; this version wants them equal", g->part[0].path,
                     out->d_head, d_value);
    return st;
}

static bool are_equal(struct heads a, struct heads b)
{
    return a.n_heads == b.n_heads && a.n_kv_heads == b.n_kv_heads && a.d_head == b.d_head;
}

/* Two kinds of heads at most: those of the last layer, and others. */
static pl_status read_heads(struct hparams *h, const struct gguf *g, pl_err *err)
{
    struct dims *d = &h->dims;
    for (uint32_t i = 0; i < d->n_layers; i++) {
        struct heads heads;
        const pl_status st = heads_of_layer(h, g, i, &heads, err);
        if (st) return st;
        if (are_equal(heads, dims_heads(d, false))) continue;
        if (!d->other.n_heads) d->other = heads;
        if (!are_equal(heads, d->other) || !heads.n_kv_heads)
            return pl_fail(err, PL_E_UNSUPPORTED, "%s: layer %" PRIu32 " has %" PRIu32 " KV heads "
                           "of %" PRIu32 "; two kinds of layers, of one or more, are run",
                           g->part[0].path, i, heads.n_kv_heads, heads.d_head);
        h->layer[i].attention.has_other_heads = true;
    }
    struct dims_fault f;
    if (!d->other.n_heads || !dims_find_heads_fault(&d->other, &f)) return PL_OK;
    return pl_fail(err, PL_E_UNSUPPORTED, "%s: %s of local layers is %" PRIu32 "; 1..%" PRIu32
                   " and a multiple of %" PRIu32 " is wanted", g->part[0].path, f.name, f.value,
                   f.max, f.multiple);
}

static pl_status read_gemma4(struct hparams *h, const struct gguf *g, pl_err *err)
{
    h->embed_scale = sqrtf((float)h->dims.d_model);
    for (uint32_t i = 0; i < h->dims.n_layers; i++) h->layer[i].attention.q_scale = 1;
    pl_status st = read_heads(h, g, err);
    if (!st) st = gemma_read_ropes(h, g, err);
    if (!st) st = gemma_read_widths(h, g, err);
    if (!st) st = gemma_read_sharing(h, g, err);
    return st ? st : gemma_read_inputs(h, g, err);
}

const struct arch arch_gemma4 = {
    .name = "gemma4",
    .head_norms = REQUIRED,
    .norms_values = true,
    .may_lack_values = true,
    .has_layer_heads = true,
    .layer_scale = OPTIONAL,
    .post_norms = REQUIRED,
    .activation = ACTIVATION_GELU_TANH,
    .experts = OPTIONAL,
    .has_both_ffs = true,
    .normalises_experts = true,
    .window_period = 6,
    .read = read_gemma4,
};
