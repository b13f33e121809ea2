/* The weights of a model, bound to a backend. Inside src/model only. */
#ifndef MODEL_WEIGHTS_H
#define MODEL_WEIGHTS_H

#include "model/model.h"

struct layer {
    struct vector *attention_norm, *feed_forward_norm;
    struct qkv_weights qkv;
    struct matrix *attention_output;
    struct vector *post_attention_norm, *post_feed_forward_norm;    /* NULL: none */
    struct matrix *gate, *up, *down;        /* NULL where there are experts */
    struct expert_weights experts;          /* all NULL: a dense layer */
    const struct rope *rope;
    uint32_t window;                /* 0: global */
};

struct model {
    struct hparams hparams;
    struct backend *backend;
    struct matrix *embedding;       /* (n_vocab, d_model) */
    struct matrix *output;          /* the embedding again where the file has none of its own */
    struct vector *output_norm;
    struct layer *layer;            /* (n_layers) */
};

#endif
