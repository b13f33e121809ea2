/* Shapes of known models, as data: what plan needs where there is no file yet. */
#ifndef ESTIMATE_SHAPE_H
#define ESTIMATE_SHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shape {
    const char *name;           /* "qwen2.5-32b" */
    uint32_t n_layers, d_model, n_heads, n_kv_heads, d_head, d_ff, n_vocab;
    uint32_t n_experts, n_experts_used, d_expert; /* 0: dense */
    uint32_t n_dense_layers;    /* of a mixture: the first, without experts; d_ff is theirs */
    uint32_t d_shared;          /* of the expert that all columns go through; 0: none */
    uint32_t n_window_layers, window;   /* layers that look back `window` tokens and no more; 0 */
    uint32_t n_state_layers;    /* layers that remember a state */
    uint32_t n_layers_without_kv;   /* layers that keep no keys and values */
    double state_bytes;         /* of a stream: of all these */
    uint32_t delta_period;      /* layers but every so many-th have a delta net of four taps, and
                                 * the others gates of their attention; 0: no layer has */
    uint32_t n_delta_v, n_delta_k, d_delta;     /* its heads of values and of keys, their size */
    uint32_t ctx_tokens;        /* the model's own limit */
    bool is_tied;               /* the output head is the embedding */
    bool has_qkv_bias, has_qk_norm;
    bool has_all_biases;        /* of output, router and experts too; and sinks of heads */
    bool has_choice_bias;       /* of the router, for choosing */
    bool has_shared_router;     /* of the shared expert */
    bool has_mxfp4_experts;     /* as released, and left so by every recipe */
    bool has_post_norms;        /* what attention and feed-forward give is normed too */
};

static inline uint32_t shape_kv_layers(const struct shape *m)
{
    return m->n_layers - m->n_layers_without_kv;
}

extern const struct shape shapes[];
extern const size_t n_shapes;

/* NULL: there is none of that name. */
const struct shape *shape_find(const char *name);

#endif
