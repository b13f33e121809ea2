#include "model/keys.h"

#include <inttypes.h>
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

pl_status read_of_layer(const struct hparams *h, const struct gguf *g, const char *suffix,
                        uint32_t i, uint32_t otherwise, uint32_t *out, pl_err *err)
{
    const struct key key = key_of(h, suffix);
    struct gguf_array all;
    *out = otherwise;
    if (!gguf_has(g, key.text)) return PL_OK;
    if (!gguf_has_array(g, key.text)) return gguf_u32(g, key.text, out, err);
    const pl_status st = gguf_integers(g, key.text, &all, err);
    if (st) return st;
    if (all.n != h->n_blocks)
        return pl_fail(err, PL_E_FORMAT, "%s: key %s is an array of %" PRIu64 "; one number for "
                       "each of %" PRIu32 " layers is wanted", g->part[0].path, key.text, all.n,
                       h->n_blocks);
    const int64_t value = gguf_array_integer(&all, i);
    if (value < 0 || value > UINT32_MAX)
        return pl_fail(err, PL_E_FORMAT, "%s: key %s has %" PRId64 " for layer %" PRIu32 "; 0 to "
                       "2^32 - 1 is wanted", g->part[0].path, key.text, value, i);
    *out = (uint32_t)value;
    return PL_OK;
}

pl_status read_widest(const struct hparams *h, const struct gguf *g, const char *suffix,
                      uint32_t *out, pl_err *err)
{
    pl_status st = gguf_has(g, key_of(h, suffix).text) ? PL_OK : read_u32(h, g, suffix, out, err);
    *out = 0;
    for (uint32_t i = 0; i < h->dims.n_layers && !st; i++) {
        uint32_t n;
        st = read_of_layer(h, g, suffix, i, 0, &n, err);
        if (!st && n > *out) *out = n;
        if (!gguf_has_array(g, key_of(h, suffix).text)) break;
    }
    return st;
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
