/* The one list of how large a model may be. Files name these numbers, and whoever wrote a file is
 * not trusted: hparams.c asks before anything is planned, every backend again before it takes
 * memory. Up to these bounds no product of dimensions that a backend keeps in 32 bits overflows,
 * and no list of fixed size (an attention row, a page's tile, RoPE's turns) is too short; what
 * grows with a dimension is sized by it. A backend that has less room refuses in its own open. */
#ifndef BACKEND_DIMS_CHECK_H
#define BACKEND_DIMS_CHECK_H

#include "backend/backend.h"

enum { BACKEND_MAX_N_HEADS = 1024, BACKEND_MAX_N_LAYERS = 1024, BACKEND_MAX_N_EXPERTS = 4096 };

/* A dimension that is not run: 1 .. max and a multiple of `multiple` are. */
struct dims_fault {
    const char *name;           /* as model files call it */
    uint32_t value, max, multiple;
};

/* True: *out is the first dimension of these heads that is not run. */
static inline bool dims_find_heads_fault(const struct heads *h, struct dims_fault *out)
{
    const struct dims_fault limits[] = {
        { "attention.head_count", h->n_heads, BACKEND_MAX_N_HEADS, 1 },
        { "attention.head_count_kv", h->n_kv_heads, h->n_heads, 1 },
        { "attention.key_length", h->d_head, BACKEND_MAX_D_HEAD, 32 },
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        const struct dims_fault *l = &limits[i];
        if (l->value && l->value <= l->max && l->value % l->multiple == 0) continue;
        *out = *l;
        return true;
    }
    if (h->n_heads % h->n_kv_heads == 0) return false;
    *out = (struct dims_fault){ "attention.head_count", h->n_heads, BACKEND_MAX_N_HEADS,
                                h->n_kv_heads };
    return true;
}

/* True: *out is the first dimension that is not run. */
static inline bool dims_find_fault(const struct dims *d, struct dims_fault *out)
{
    const bool is_mixture = d->n_experts != 0, has_latents = d->latent.d_latent != 0;
    const struct latent_dims *latent = &d->latent;
    const struct mixer_dims *m = &d->mixer;
    const bool has_mixers = m->n_taps != 0, has_matrices = has_mixers && m->n_heads;
    const struct {
        struct dims_fault limit;
        bool is_unused;
    } limits[] = {
        { { "embedding_length", d->d_model, 1 << 17, 32 }, false },
        { { "block_count", d->n_layers, BACKEND_MAX_N_LAYERS, 1 }, false },
        { { "feed_forward_length", d->d_ff, 1 << 20, 32 }, is_mixture && d->d_ff == 0 },
        { { "expert_shared_feed_forward_length", d->d_shared, 1 << 20, 32 }, d->d_shared == 0 },
        { { "attention.head_count", d->n_heads, BACKEND_MAX_N_HEADS, 1 }, false },
        { { "attention.head_count_kv", d->n_kv_heads, d->n_heads, 1 }, false },
        { { "attention.key_length", d->d_head, BACKEND_MAX_D_HEAD, 32 }, false },
        { { "attention.kv_lora_rank", latent->d_latent, d->d_head, 32 }, !has_latents },
        { { "attention.q_lora_rank", latent->d_query, 1 << 16, 32 }, latent->d_query == 0 },
        { { "attention.key_length_mla that is not turned", latent->d_plain, 1 << 12, 32 },
          !has_latents },
        { { "attention.value_length_mla", latent->d_value, d->d_head, 32 }, !has_latents },
        { { "vocabulary size", d->n_vocab, 1 << 21, 1 }, false },
        { { "expert_count", d->n_experts, BACKEND_MAX_N_EXPERTS, 1 }, !is_mixture },
        { { "expert_used_count", d->n_experts_used, d->n_experts, 1 }, !is_mixture },
        { { "expert_feed_forward_length", d->d_expert, 1 << 16, 32 }, !is_mixture },
        { { "ssm.conv_kernel", m->n_taps, BACKEND_MAX_TAPS, 1 }, !has_mixers },
        { { "channels of a mixer", m->n_channels, 1 << 18, 32 }, !has_mixers },
        { { "ssm.time_step_rank", m->n_heads, BACKEND_MAX_N_HEADS, 1 }, !has_matrices },
        { { "ssm.group_count", m->n_key_heads, m->n_heads, 1 }, !has_matrices },
        { { "ssm.state_size", m->d_key, BACKEND_MAX_D_STATE, 16 }, !has_matrices },
        { { "ssm.inner_size a head", m->d_value, BACKEND_MAX_D_STATE, 32 }, !has_matrices },
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        const struct dims_fault *l = &limits[i].limit;
        if (limits[i].is_unused || (l->value && l->value <= l->max && l->value % l->multiple == 0))
            continue;
        *out = *l;
        return true;
    }
    return d->other.n_heads && dims_find_heads_fault(&d->other, out);
}

#endif
