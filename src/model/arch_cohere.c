/* Command R7B and the other Cohere 2: attention and feed-forward side by side behind one norm that
 * takes the mean off; three local layers, which are turned, to a global one, which is not. */
#include "model/hparams_read.h"

static pl_status read_cohere2(struct hparams *h, const struct gguf *g, pl_err *err)
{
    uint32_t window;    /* without one no layer would be turned */
    const pl_status st = read_of_layers(h, g, "attention.sliding_window", &window, err);
    for (uint32_t i = 0; i < h->dims.n_layers && !st; i++)
        if (!h->layer[i].attention.window) h->layer[i].rope = NO_ROPE;
    return st;
}

const struct arch arch_cohere2 = {
    .name = "cohere2",
    .rope_interleaved = true,
    .qkv_bias = OPTIONAL,
    .has_layer_norms = true,
    .is_parallel = true,
    .multiplies_logits = true,
    .activation = ACTIVATION_SILU,
    .window_period = 4,
    .read = read_cohere2,
};
