/* Reading of an architecture's own keys. Inside src/model only. */
#ifndef MODEL_KEYS_H
#define MODEL_KEYS_H

#include "model/arch.h"

/* "<architecture>.<suffix>" */
struct key {
    char text[128];
};

struct key key_of(const struct hparams *h, const char *suffix);

pl_status read_u32(const struct hparams *h, const struct gguf *g, const char *suffix, uint32_t *out,
                   pl_err *err);
pl_status read_u32_or(const struct hparams *h, const struct gguf *g, const char *suffix,
                      uint32_t otherwise, uint32_t *out, pl_err *err);
pl_status read_f32_or(const struct hparams *h, const struct gguf *g, const char *suffix,
                      float otherwise, float *out, pl_err *err);

/* A number that a file may state for each layer, of block `i`. */
pl_status read_of_layer(const struct hparams *h, const struct gguf *g, const char *suffix,
                        uint32_t i, uint32_t otherwise, uint32_t *out, pl_err *err);

/* The largest of those of the n_layers layers. */
pl_status read_widest(const struct hparams *h, const struct gguf *g, const char *suffix,
                      uint32_t *out, pl_err *err);

/* A number that a file may state for each layer; it has to be one for all of them. */
pl_status read_of_layers(const struct hparams *h, const struct gguf *g, const char *suffix,
                         uint32_t *out, pl_err *err);
pl_status read_of_layers_or(const struct hparams *h, const struct gguf *g, const char *suffix,
                            uint32_t otherwise, uint32_t *out, pl_err *err);

#endif
