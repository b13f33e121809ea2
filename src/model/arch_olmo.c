/* OLMo 2 and 3: norms behind attention and feed-forward, none before, and norms of Q and K over all
 * heads together. OLMo 3 has three local layers to a global one, and stretches the global ones'
 * context alone. */
#include "model/arch.h"

static pl_status read_olmo2(struct hparams *h, const struct gguf *g, pl_err *err)
{
    (void)g;
    (void)err;
    for (uint32_t i = 0; i < h->dims.n_layers; i++) {
        if (!h->layer[i].attention.window) continue;
        h->rope[1] = (struct rope_params){ .n_rot = h->rope[0].n_rot, .base = h->rope[0].base,
                                           .factor = 1, .attn_factor = 1 };
        h->n_ropes = 2;
        h->layer[i].rope = 1;
    }
    return PL_OK;
}

const struct arch arch_olmo2 = {
    .name = "olmo2",
    .qkv_bias = OPTIONAL,
    .head_norms = REQUIRED,
    .norms_all_heads = true,
    .has_no_pre_norms = true,
    .post_norms = REQUIRED,
    .activation = ACTIVATION_SILU,
    .window_period = 4,
    .may_lack_window = true,
    .read = read_olmo2,
};
