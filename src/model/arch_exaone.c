/* EXAONE 4: norms behind attention and feed-forward, none before; where there are local layers, the
 * global ones are not turned. */
#include "model/arch.h"

static pl_status read_exaone4(struct hparams *h, const struct gguf *g, pl_err *err)
{
    (void)g;
    (void)err;
    bool has_local = false;
    for (uint32_t i = 0; i < h->dims.n_layers; i++) has_local |= h->layer[i].attention.window != 0;
    for (uint32_t i = 0; i < h->dims.n_layers && has_local; i++)
        if (!h->layer[i].attention.window) h->layer[i].rope = NO_ROPE;
    return PL_OK;
}

const struct arch arch_exaone4 = {
    .name = "exaone4",
    .qkv_bias = OPTIONAL,
    .head_norms = REQUIRED,
    .has_no_pre_norms = true,
    .post_norms = REQUIRED,
    .activation = ACTIVATION_SILU,
    .read = read_exaone4,
};
