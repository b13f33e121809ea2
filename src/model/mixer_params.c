/* Mixers out of a file's keys: their shape, and which layers have one. */
#include "model/hparams_read.h"

#include <inttypes.h>

/* Channels of the convolution: of keys and queries of n_key_heads, and of what heads read. */
static pl_status read_matrices(struct hparams *h, const struct gguf *g, pl_err *err)
{
    struct mixer_dims *m = &h->dims.mixer;
    uint32_t d_inner = 0;
    pl_status st = read_u32(h, g, "ssm.conv_kernel", &m->n_taps, err);
    if (!st) st = read_u32(h, g, "ssm.state_size", &m->d_key, err);
    if (!st) st = read_u32(h, g, "ssm.group_count", &m->n_key_heads, err);
    if (!st) st = read_u32(h, g, "ssm.time_step_rank", &m->n_heads, err);
    if (!st) st = read_u32(h, g, "ssm.inner_size", &d_inner, err);
    if (st) return st;
    if (!m->n_taps || !m->n_heads || !m->n_key_heads || m->n_heads % m->n_key_heads ||
        d_inner % m->n_heads)
        return pl_fail(err, PL_E_FORMAT, "%s: ssm.inner_size %" PRIu32 " of %" PRIu32 " heads "
                       "(ssm.time_step_rank) over %" PRIu32 " groups (ssm.group_count), "
                       "ssm.conv_kernel %" PRIu32 "; multiples above 0 are wanted",
                       g->part[0].path, d_inner, m->n_heads, m->n_key_heads, m->n_taps);
    m->d_value = d_inner / m->n_heads;
    const uint64_t n_channels = 2 * (uint64_t)m->n_key_heads * m->d_key + d_inner;
    m->n_channels = n_channels > UINT32_MAX ? UINT32_MAX : (uint32_t)n_channels;
    return PL_OK;
}

pl_status mixer_dims_read(struct hparams *h, const struct gguf *g, pl_err *err)
{
    struct mixer_dims *m = &h->dims.mixer;
    if (h->arch->mixer == MIXER_NONE) return PL_OK;
    if (h->arch->mixer != MIXER_SHORT_CONVOLUTION) return read_matrices(h, g, err);
    const pl_status st = read_u32(h, g, "shortconv.l_cache", &m->n_taps, err);
    m->n_channels = h->dims.d_model;
    if (st || m->n_taps) return st;
    return pl_fail(err, PL_E_FORMAT, "%s: shortconv.l_cache is 0; 1 and more is wanted",
                   g->part[0].path);
}

/* Newer files list them; others say how often attention comes. */
static pl_status find_recurrent(struct hparams *h, const struct gguf *g, pl_err *err)
{
    const struct key list = key_of(h, "attention.recurrent_layers");
    if (gguf_has_array(g, list.text)) {
        struct gguf_array is_recurrent;
        const pl_status st = gguf_integers(g, list.text, &is_recurrent, err);
        if (st) return st;
        if (is_recurrent.n != h->n_blocks)
            return pl_fail(err, PL_E_FORMAT, "%s: key %s is an array of %" PRIu64 "; one boolean "
                           "for each of %" PRIu32 " layers is wanted", g->part[0].path, list.text,
                           is_recurrent.n, h->n_blocks);
        for (uint32_t i = 0; i < h->dims.n_layers; i++)
            h->layer[i].attends = !gguf_array_integer(&is_recurrent, i);
        return PL_OK;
    }
    uint32_t period;
    const pl_status st = read_u32_or(h, g, "full_attention_interval", 4, &period, err);
    for (uint32_t i = 0; i < h->dims.n_layers && !st; i++)
        h->layer[i].attends = period && (i + 1) % period == 0;
    return st;
}

/* Layers without KV heads do not attend; the others have equally many. */
static pl_status find_without_kv_heads(struct hparams *h, const struct gguf *g, pl_err *err)
{
    const uint32_t n_usual = h->dims.n_kv_heads;
    pl_status st = PL_OK;
    for (uint32_t i = 0; i < h->dims.n_layers && !st; i++) {
        uint32_t n;
        st = read_of_layer(h, g, "attention.head_count_kv", i, n_usual, &n, err);
        h->layer[i].attends = n != 0;
        if (!st && n && n != n_usual)
            st = pl_fail(err, PL_E_UNSUPPORTED, "%s: layer %" PRIu32 " has %" PRIu32 " KV heads, "
                         "another %" PRIu32 "; 0 or equally many are run", g->part[0].path, i, n,
                         n_usual);
    }
    return st;
}

/* A layer is attention, a mixer or feed-forward, and nothing beside it. */
static pl_status find_single(struct hparams *h, const struct gguf *g, pl_err *err)
{
    pl_status st = PL_OK;
    for (uint32_t i = 0; i < h->dims.n_layers && !st; i++) {
        struct layer_plan *l = &h->layer[i];
        st = read_of_layer(h, g, "feed_forward_length", i, h->dims.d_ff, &l->d_ff, err);
        l->feeds_forward = l->d_ff != 0;
        if (!st && l->feeds_forward && (l->attends || l->d_ff != h->dims.d_ff))
            st = pl_fail(err, PL_E_UNSUPPORTED, "%s: layer %" PRIu32 " of %" PRIu32 " KV heads and "
                         "feed_forward_length %" PRIu32 ", another of %" PRIu32 "; one of both is "
                         "0, or equally much", g->part[0].path, i,
                         l->attends ? h->dims.n_kv_heads : 0, l->d_ff, h->dims.d_ff);
    }
    return st;
}

pl_status mixers_read(struct hparams *h, const struct gguf *g, pl_err *err)
{
    const struct arch *a = h->arch;
    if (a->mixer == MIXER_NONE) return PL_OK;
    pl_status st = PL_OK;
    if (a->mixer_place == MIXERS_WHERE_RECURRENT) st = find_recurrent(h, g, err);
    if (a->mixer_place == MIXERS_WITHOUT_KV_HEADS) st = find_without_kv_heads(h, g, err);
    if (!st && a->is_single) st = find_single(h, g, err);
    for (uint32_t i = 0; i < h->dims.n_layers && !st; i++) {
        struct layer_plan *l = &h->layer[i];
        const bool is_beside = a->mixer_place == MIXERS_BESIDE_ATTENTION;
        const bool has_mixer = is_beside || (!l->attends && !(a->is_single && l->feeds_forward));
        l->mixer.kind = has_mixer ? a->mixer : MIXER_NONE;
        l->mixer.keys_are_in_turn = a->keys_are_in_turn;
    }
    return st;
}
