/* Llama 1-3, Mistral, SmolLM and the many models that share their shape. Converters permute the
 * rows of Q and K so that RoPE pairs are neighbours. */
#include "model/arch.h"

const struct arch arch_llama = {
    .name = "llama",
    .rope_interleaved = true,
    .qkv_bias = OPTIONAL,
    .activation = ACTIVATION_SILU,
};
