/* The weights of a model, bound to a backend, with the plan of its layers: what the operations get.
 * Inside src/model only. */
#ifndef MODEL_WEIGHTS_H
#define MODEL_WEIGHTS_H

#include "model/model.h"

struct layer {
    struct norm attention_norm;
    struct qkv_weights qkv;
    struct latent_weights latent;           /* q without a weight: qkv's are the layer's */
    struct attention_params attention;
    struct linear attention_output;
    struct residual attention_residual;     /* a mixer's too */
    bool attends, feeds_forward;
    struct mixer_weights mixer_weights;
    struct mixer_params mixer;              /* MIXER_NONE: there is none */
    struct linear mixer_output;
    bool is_parallel;                       /* feed-forward reads X as attention did */
    struct norm feed_forward_norm;
    struct linear gate, up, down;           /* no weights where there are experts alone */
    struct residual feed_forward_residual;
    struct norm expert_norm, router_norm;   /* of what experts read, and their router */
    struct expert_weights experts;          /* no router: a dense layer */
    struct residual expert_residual;
    struct ffn_params ffn;
    struct track_layer tracks;              /* no router: X is the only residual */
    struct linear low_down, low_up;         /* beside attention; no weights: none */
    struct norm low_norm;
    struct linear input_gate, input_down;   /* no weights: it has no input */
    struct residual input_residual;
};

struct model {
    struct homes homes;
    const struct matrix *embedding; /* (n_vocab, d_model) */
    const struct matrix *output;    /* the embedding again where the file has none of its own */
    float embed_scale;
    struct track_ends tracks;       /* in[1] without a weight: X is the only residual */
    struct layer_inputs inputs[MAX_HOMES];      /* of each home; no embedding: layers have none */
    struct head_params head;
    struct layer *layer;            /* (n_layers of all homes) */
};

#endif
