/* Keys that change what a model computes and that this version has no arithmetic for. One that is
 * set to more than its neutral value refuses the file: without it another model would be
 * computed. */
#include "model/hparams_read.h"

#include <string.h>

static const struct {
    const char *suffix;
    float neutral, also;        /* values that change nothing */
    bool is_multiplier;         /* of architectures that have them */
} keys[] = {
    { "attention.clamp_kqv", 0, 0, false },
    { "attention.max_alibi_bias", 0, 0, false },
    { "attention.output_scale", 0, 1, false },
    { "attention.causal", 1, 1, false },
    { "router_logit_softcapping", 0, 0, false },
    { "logit_scale", 0, 1, true },
    { "residual_scale", 0, 1, true },
    { "embedding_scale", 0, 1, true },
    { "use_parallel_residual", 0, 0, false },
};

pl_status check_other_keys(const struct hparams *h, const struct gguf *g, pl_err *err)
{
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct key key = key_of(h, keys[i].suffix);
        float value;
        if (keys[i].is_multiplier && h->arch->has_multipliers) continue;
        if (h->arch->multiplies_logits && !strcmp(keys[i].suffix, "logit_scale")) continue;
        const pl_status st = gguf_f32_or(g, key.text, keys[i].neutral, &value, err);
        if (st) return st;
        if (value != keys[i].neutral && value != keys[i].also)
            return pl_fail(err, PL_E_UNSUPPORTED, "%s: key %s is %g; architecture %s is run with "
                           "%g alone", g->part[0].path, key.text, (double)value, h->arch->name,
                           (double)keys[i].neutral);
    }
    return PL_OK;
}
