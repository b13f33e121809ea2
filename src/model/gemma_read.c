/* What Gemma 3n and Gemma 4 share of reading their plan. */
#include <inttypes.h>
#include <math.h>

#include "model/gemma_read.h"

pl_status gemma_read_ropes(struct hparams *h, const struct gguf *g, pl_err *err)
{
    struct rope_params local = { .factor = 1, .attn_factor = 1 };
    const uint32_t d_head = h->dims.other.n_heads ? h->dims.other.d_head : h->dims.d_head;
    pl_status st = read_f32_or(h, g, "rope.freq_base_swa", 10000, &local.base, err);
    if (!st) st = read_u32_or(h, g, "rope.dimension_count_swa", d_head, &local.n_rot, err);
    if (!st && (!(local.base > 1) || !local.n_rot || local.n_rot > d_head || local.n_rot % 2))
        st = pl_fail(err, PL_E_FORMAT, "%s: RoPE of %" PRIu32 " dimensions, base %g, for local "
                     "heads of %" PRIu32 "; pairs, no more than these have, and base > 1 are "
                     "wanted", g->part[0].path, local.n_rot, (double)local.base, d_head);
    for (uint32_t i = 0; i < h->dims.n_layers && !st; i++) {
        if (!is_local_layer(h, i)) continue;
        h->rope[1] = local;
        h->n_ropes = 2;
        h->layer[i].rope = 1;
    }
    return st;
}

pl_status gemma_read_widths(struct hparams *h, const struct gguf *g, pl_err *err)
{
    struct dims *d = &h->dims;
    pl_status st = PL_OK;
    for (uint32_t i = 0; i < d->n_layers && !st; i++) {
        uint32_t *d_ff = &h->layer[i].d_ff;
        st = read_of_layer(h, g, "feed_forward_length", i, 0, d_ff, err);
        d->has_ff_widths |= *d_ff != d->d_ff;
        if (!st && (!*d_ff || *d_ff % 32))
            st = pl_fail(err, PL_E_UNSUPPORTED, "%s: feed_forward_length of layer %" PRIu32 " is %"
                         PRIu32 "; a multiple of 32 is wanted", g->part[0].path, i, *d_ff);
    }
    return st;
}

/* The layer before the first that shares, of the same kind; n_layers: there is none. */
static uint32_t source_of(const struct hparams *h, uint32_t n_own, uint32_t i)
{
    for (uint32_t j = n_own; j-- > 0;)
        if (is_local_layer(h, j) == is_local_layer(h, i)) return j;
    return h->dims.n_layers;
}

pl_status gemma_read_sharing(struct hparams *h, const struct gguf *g, pl_err *err)
{
    const uint32_t n_layers = h->dims.n_layers;
    uint32_t n_shared;
    const pl_status st = read_u32_or(h, g, "attention.shared_kv_layers", 0, &n_shared, err);
    if (st) return st;
    const uint32_t n_own = n_shared < n_layers ? n_layers - n_shared : 0;
    for (uint32_t i = n_own; i < n_layers; i++) {
        h->layer[i].kv_of = source_of(h, n_own, i);
        if (h->layer[i].kv_of == n_layers)
            return pl_fail(err, PL_E_FORMAT, "%s: attention.shared_kv_layers is %" PRIu32 " of %"
                           PRIu32 ", which leaves layer %" PRIu32 " no keys to read",
                           g->part[0].path, n_shared, n_layers, i);
    }
    return PL_OK;
}

pl_status gemma_read_inputs(struct hparams *h, const struct gguf *g, pl_err *err)
{
    struct dims *d = &h->dims;
    const pl_status st =
        read_u32_or(h, g, "embedding_length_per_layer_input", 0, &d->d_input, err);
    if (st || !d->d_input) return st;
    if (d->d_input % 32 || d->d_input > d->d_ff)
        return pl_fail(err, PL_E_UNSUPPORTED, "%s: embedding_length_per_layer_input is %" PRIu32
                       "; a multiple of 32, no more than feed_forward_length, is wanted",
                       g->part[0].path, d->d_input);
    d->has_ff_widths = true;
    return PL_OK;
}
