/* Gemma 2 and 3: local layers with a sliding window between global ones; norms after attention and
 * feed-forward too; embeddings scaled by sqrt(d_model). Converters have added the 1 of Gemma's norm
 * weights.
 *
 * Gemma 2 caps scores and logits; every second layer is global. Gemma 3 has head norms instead,
 * five local layers to a global one, and for them a RoPE base of their own. */
#include "model/arch.h"

#include <math.h>

enum { GEMMA2_27B_LAYERS = 46, GEMMA3_27B_LAYERS = 62 };

/* The 27B divide scores by sqrt(d_model / n_heads), the others by sqrt(d_head); the file does not
 * say so, the layer count tells them apart (llama.cpp does the same). */
static void scale_as_gemma(struct hparams *h, uint32_t n_layers_27b)
{
    const struct dims *d = &h->dims;
    h->embed_scale = sqrtf((float)d->d_model);
    for (uint32_t i = 0; i < d->n_layers && d->n_layers == n_layers_27b; i++)
        h->layer[i].attention.q_scale = 1 / sqrtf((float)(d->d_model / d->n_heads));
}

static pl_status read_gemma2(struct hparams *h, const struct gguf *g, pl_err *err)
{
    (void)g;
    (void)err;
    scale_as_gemma(h, GEMMA2_27B_LAYERS);
    return PL_OK;
}

static pl_status read_gemma3(struct hparams *h, const struct gguf *g, pl_err *err)
{
    struct rope_params local = { .n_rot = h->rope[0].n_rot, .factor = 1, .attn_factor = 1 };
    const pl_status st = gguf_f32_or(g, "gemma3.rope.freq_base_swa", 10000, &local.base, err);
    if (st) return st;
    if (local.base == 0) local.base = 10000;    /* not set */
    if (!(local.base > 1))
        return pl_fail(err, PL_E_FORMAT, "gemma3.rope.freq_base_swa is %g; more than 1 is wanted",
                       (double)local.base);

    for (uint32_t i = 0; i < h->dims.n_layers; i++)
        if (h->layer[i].attention.window) {
            h->rope[1] = local;
            h->n_ropes = 2;
            h->layer[i].rope = 1;
        }
    scale_as_gemma(h, GEMMA3_27B_LAYERS);
    return PL_OK;
}

const struct arch arch_gemma2 = {
    .name = "gemma2",
    .post_norms = REQUIRED,
    .activation = ACTIVATION_GELU_TANH,
    .window_period = 2,
    .window = 4096,
    .score_cap = 50,
    .logit_cap = 30,
    .read = read_gemma2,
};

const struct arch arch_gemma3 = {
    .name = "gemma3",
    .qkv_bias = OPTIONAL,
    .head_norms = REQUIRED,
    .post_norms = REQUIRED,
    .activation = ACTIVATION_GELU_TANH,
    .window_period = 6,
    .read = read_gemma3,
};
