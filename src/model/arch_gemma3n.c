/* Gemma 3n: four residuals side by side, of which a layer computes the first; a narrow product
 * beside its attention; gates that are cut in the first layers. Its attention, and the input that
 * every layer gets of the token itself, are those of the small Gemma 4 with heads of one kind. */
#include <inttypes.h>
#include <math.h>

#include "model/gemma_read.h"

/* A layer without a finite number has no cut. */
static pl_status read_cuts(struct hparams *h, const struct gguf *g, pl_err *err)
{
    const struct key key = key_of(h, "activation_sparsity_scale");
    struct gguf_array cuts;
    if (!gguf_has(g, key.text)) return PL_OK;
    const pl_status st = gguf_floats(g, key.text, &cuts, err);
    if (st) return st;
    if (cuts.n != h->n_blocks)
        return pl_fail(err, PL_E_FORMAT, "%s: key %s is an array of %" PRIu64 "; one number for "
                       "each of %" PRIu32 " layers is wanted", g->part[0].path, key.text, cuts.n,
                       h->n_blocks);
    for (uint32_t i = 0; i < h->dims.n_layers; i++) {
        struct ffn_params *p = &h->layer[i].ffn;
        p->cut = gguf_array_float(&cuts, i);
        p->has_cut = isfinite(p->cut);
    }
    return PL_OK;
}

/* No key says how wide the narrow product is. */
static pl_status read_tracks(struct hparams *h, const struct gguf *g, pl_err *err)
{
    const struct gguf_tensor *narrow = gguf_find(g, "blk.0.laurel_l.weight");
    struct dims *d = &h->dims;
    uint32_t active = 0;
    pl_status st = read_u32(h, g, "altup.num_inputs", &d->n_tracks, err);
    if (!st) st = read_u32_or(h, g, "altup.active_idx", 0, &active, err);
    if (st) return st;
    if (d->n_tracks < 2 || d->n_tracks > MAX_TRACKS || active)
        return pl_fail(err, PL_E_UNSUPPORTED, "%s: altup.active_idx is %" PRIu32 " of %" PRIu32
                       "; the first of 2 to %d is run", g->part[0].path, active, d->n_tracks,
                       MAX_TRACKS);
    if (!narrow || !narrow->dim[1] || narrow->dim[1] % 32 || narrow->dim[1] > d->d_model)
        return pl_fail(err, PL_E_UNSUPPORTED, "%s: no tensor blk.0.laurel_l.weight whose rows are "
                       "a multiple of 32, no more than embedding_length", g->part[0].path);
    d->d_low = (uint32_t)narrow->dim[1];
    return PL_OK;
}

static pl_status read_gemma3n(struct hparams *h, const struct gguf *g, pl_err *err)
{
    h->embed_scale = sqrtf((float)h->dims.d_model);
    for (uint32_t i = 0; i < h->dims.n_layers; i++) h->layer[i].attention.q_scale = 1;
    pl_status st = gemma_read_ropes(h, g, err);
    if (!st) st = gemma_read_widths(h, g, err);
    if (!st) st = gemma_read_sharing(h, g, err);
    if (!st) st = gemma_read_inputs(h, g, err);
    if (!st && !h->dims.d_input)
        st = pl_fail(err, PL_E_FORMAT, "%s: embedding_length_per_layer_input is 0",
                     g->part[0].path);
    if (!st) st = read_cuts(h, g, err);
    return st ? st : read_tracks(h, g, err);
}

const struct arch arch_gemma3n = {
    .name = "gemma3n",
    .head_norms = REQUIRED,
    .norms_values = true,
    .has_layer_heads = true,
    .post_norms = REQUIRED,
    .activation = ACTIVATION_GELU_TANH,
    .window_period = 5,
    .logit_cap = 30,
    .read = read_gemma3n,
};
