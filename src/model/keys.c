#include "model/keys.h"

#include <stdio.h>

struct key key_of(const struct hparams *h, const char *suffix)
{
    struct key k;
    snprintf(k.text, sizeof k.text, "%s.%s", h->arch->name, suffix);
    return k;
}

pl_status read_u32(const struct hparams *h, const struct gguf *g, const char *suffix,
                   uint32_t *out, pl_err *err)
{
    return gguf_u32(g, key_of(h, suffix).text, out, err);
}

pl_status read_u32_or(const struct hparams *h, const struct gguf *g, const char *suffix,
                      uint32_t otherwise, uint32_t *out, pl_err *err)
{
    return gguf_u32_or(g, key_of(h, suffix).text, otherwise, out, err);
}

pl_status read_f32_or(const struct hparams *h, const struct gguf *g, const char *suffix,
                      float otherwise, float *out, pl_err *err)
{
    return gguf_f32_or(g, key_of(h, suffix).text, otherwise, out, err);
}

pl_status read_of_layers(const struct hparams *h, const struct gguf *g, const char *suffix,
                         uint32_t *out, pl_err *err)
{
    return gguf_u32_of_layers(g, key_of(h, suffix).text, h->n_blocks, out, err);
}

pl_status read_of_layers_or(const struct hparams *h, const struct gguf *g, const char *suffix,
                            uint32_t otherwise, uint32_t *out, pl_err *err)
{
    *out = otherwise;
    return gguf_has(g, key_of(h, suffix).text) ? read_of_layers(h, g, suffix, out, err) : PL_OK;
}
