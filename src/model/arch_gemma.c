/* Gemma 3: five local layers with a sliding window and their own RoPE base, then one global;
 * norms after attention and feed-forward too; embeddings scaled by sqrt(d_model). Converters have
 * added the 1 of Gemma's norm weights. */
#include "model/arch.h"

#include <math.h>

enum { N_LAYERS_27B = 62 };

static pl_status read_gemma3(struct hparams *h, const struct gguf *g, pl_err *err)
{
    pl_status st = gguf_u32(g, "gemma3.attention.sliding_window", &h->window, err);
    if (!st)
        st = gguf_u32_or(g, "gemma3.attention.sliding_window_pattern", 6, &h->window_period, err);
    h->rope_local = (struct rope_params){ .base = 10000 };
    if (!st)
        st = gguf_f32_or(g, "gemma3.rope.freq_base_swa", 10000, &h->rope_local.base, err);
    if (st) return st;
    if (h->window_period == 0)
        return pl_fail(err, PL_E_FORMAT,
                       "gemma3.attention.sliding_window_pattern is 0; at least 1 is wanted");

    h->embed_scale = sqrtf((float)h->dims.d_model);
    /* The 27B divides scores by sqrt(d_model / n_heads), the others by sqrt(d_head); the file
     * does not say so, the layer count tells them apart (llama.cpp does the same). */
    if (h->dims.n_layers == N_LAYERS_27B)
        h->q_scale = 1 / sqrtf((float)(h->dims.d_model / h->dims.n_heads));
    return PL_OK;
}

const struct arch arch_gemma3 = {
    .name = "gemma3",
    .head_norms = REQUIRED,
    .post_norms = REQUIRED,
    .activation = ACTIVATION_GELU_TANH,
    .read = read_gemma3,
};
