/* Mixers out of a file's keys: their shape, and which layers have one in attention's place. */
#include "model/hparams_read.h"

#include <inttypes.h>

pl_status mixer_dims_read(struct hparams *h, const struct gguf *g, pl_err *err)
{
    struct mixer_dims *m = &h->dims.mixer;
    uint32_t d_inner = 0;
    if (h->arch->mixer == MIXER_NONE) return PL_OK;
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

/* Newer files list them; others say how often attention comes. */
static pl_status find_mixers(struct hparams *h, const struct gguf *g, pl_err *err)
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
            if (gguf_array_integer(&is_recurrent, i)) h->layer[i].mixer.kind = h->arch->mixer;
        return PL_OK;
    }
    uint32_t period;
    const pl_status st = read_u32_or(h, g, "full_attention_interval", 4, &period, err);
    for (uint32_t i = 0; i < h->dims.n_layers && !st; i++)
        if (!period || (i + 1) % period) h->layer[i].mixer.kind = h->arch->mixer;
    return st;
}

pl_status mixers_read(struct hparams *h, const struct gguf *g, pl_err *err)
{
    if (h->arch->mixer == MIXER_NONE) return PL_OK;
    const pl_status st = find_mixers(h, g, err);
    for (uint32_t i = 0; i < h->dims.n_layers && !st; i++) {
        struct layer_plan *l = &h->layer[i];
        l->mixer.keys_are_in_turn = h->arch->keys_are_in_turn;
        l->attends = l->mixer.kind == MIXER_NONE;
    }
    return st;
}
