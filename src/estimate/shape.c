/* From config.json of each model's repository at its publisher. */
#include "estimate/shape.h"

#include <string.h>
#include <strings.h>

#define QWEN2 .has_qkv_bias = true
#define QWEN3 .has_qk_norm = true
#define GEMMA3 .has_qk_norm = true, .has_post_norms = true, .is_tied = true, \
               .ctx_tokens = 131072
#define GPT_OSS .has_qkv_bias = true, .has_all_biases = true, .has_mxfp4_experts = true, \
                .n_experts_used = 4, .d_expert = 2880, .window = 128, .ctx_tokens = 131072
#define TIED .is_tied = true

const struct shape shapes[] = {
    /* name, layers, d_model, heads, KV heads, d_head, d_ff, vocabulary */
    { "qwen2.5-0.5b", 24, 896, 14, 2, 64, 4864, 151936, QWEN2, TIED, .ctx_tokens = 32768 },
    { "qwen2.5-1.5b", 28, 1536, 12, 2, 128, 8960, 151936, QWEN2, TIED, .ctx_tokens = 32768 },
    { "qwen2.5-3b", 36, 2048, 16, 2, 128, 11008, 151936, QWEN2, TIED, .ctx_tokens = 32768 },
    { "qwen2.5-7b", 28, 3584, 28, 4, 128, 18944, 152064, QWEN2, .ctx_tokens = 32768 },
    { "qwen2.5-14b", 48, 5120, 40, 8, 128, 13824, 152064, QWEN2, .ctx_tokens = 32768 },
    { "qwen2.5-32b", 64, 5120, 40, 8, 128, 27648, 152064, QWEN2, .ctx_tokens = 32768 },
    { "qwen2.5-72b", 80, 8192, 64, 8, 128, 29568, 152064, QWEN2, .ctx_tokens = 32768 },
    { "qwen3-0.6b", 28, 1024, 16, 8, 128, 3072, 151936, QWEN3, TIED, .ctx_tokens = 40960 },
    { "qwen3-1.7b", 28, 2048, 16, 8, 128, 6144, 151936, QWEN3, TIED, .ctx_tokens = 40960 },
    { "qwen3-4b", 36, 2560, 32, 8, 128, 9728, 151936, QWEN3, TIED, .ctx_tokens = 40960 },
    { "qwen3-8b", 36, 4096, 32, 8, 128, 12288, 151936, QWEN3, .ctx_tokens = 40960 },
    { "qwen3-14b", 40, 5120, 40, 8, 128, 17408, 151936, QWEN3, .ctx_tokens = 40960 },
    { "qwen3-32b", 64, 5120, 64, 8, 128, 25600, 151936, QWEN3, .ctx_tokens = 40960 },
    { "qwen3-30b-a3b", 48, 2048, 32, 4, 128, 6144, 151936, QWEN3, .n_experts = 128,
      .n_experts_used = 8, .d_expert = 768, .ctx_tokens = 40960 },
    { "qwen3-235b-a22b", 94, 4096, 64, 4, 128, 12288, 151936, QWEN3, .n_experts = 128,
      .n_experts_used = 8, .d_expert = 1536, .ctx_tokens = 40960 },
    /* and Qwen 3.5; a state is three inputs of 8,192 channels and 32 matrices, in floats */
    { "qwen3.6-35b-a3b", 40, 2048, 16, 2, 256, 0, 248320, QWEN3, .n_experts = 256,
      .n_experts_used = 8, .d_expert = 512, .d_shared = 512, .has_shared_router = true,
      .delta_period = 4, .n_delta_v = 32, .n_delta_k = 16, .d_delta = 128, .n_state_layers = 30,
      .n_layers_without_kv = 30, .state_bytes = 30.0 * 4 * (3 * 8192 + 32 * 128 * 128),
      .ctx_tokens = 262144 },
    /* and its Coder */
    { "qwen3-next-80b-a3b", 48, 2048, 16, 2, 256, 0, 151936, QWEN3, .n_experts = 512,
      .n_experts_used = 10, .d_expert = 512, .d_shared = 512, .has_shared_router = true,
      .delta_period = 4, .n_delta_v = 32, .n_delta_k = 16, .d_delta = 128, .n_state_layers = 36,
      .n_layers_without_kv = 36, .state_bytes = 36.0 * 4 * (3 * 8192 + 32 * 128 * 128),
      .ctx_tokens = 262144 },
    { "llama-3.2-1b", 16, 2048, 32, 8, 64, 8192, 128256, TIED, .ctx_tokens = 131072 },
    { "llama-3.2-3b", 28, 3072, 24, 8, 128, 8192, 128256, TIED, .ctx_tokens = 131072 },
    { "llama-3.1-8b", 32, 4096, 32, 8, 128, 14336, 128256, .ctx_tokens = 131072 },
    { "llama-3.1-70b", 80, 8192, 64, 8, 128, 28672, 128256, .ctx_tokens = 131072 },
    { "llama-2-7b", 32, 4096, 32, 32, 128, 11008, 32000, .ctx_tokens = 4096 },
    { "mistral-7b", 32, 4096, 32, 8, 128, 14336, 32768, .ctx_tokens = 32768 },
    /* 3.2 */
    { "mistral-small-24b", 40, 5120, 32, 8, 128, 32768, 131072, .ctx_tokens = 131072 },
    { "phi-4", 40, 5120, 40, 10, 128, 17920, 100352, .ctx_tokens = 16384 },
    { "ernie-4.5-21b-a3b", 28, 2560, 20, 4, 128, 12288, 103424, TIED, .n_experts = 64,
      .n_experts_used = 6, .d_expert = 1536, .n_dense_layers = 1, .d_shared = 3072,
      .has_choice_bias = true, .ctx_tokens = 131072 },
    { "gemma-3-270m", 18, 640, 4, 1, 256, 2048, 262144, GEMMA3,
      .n_window_layers = 15, .window = 512 },
    { "gemma-3-1b", 26, 1152, 4, 1, 256, 6912, 262144, GEMMA3,
      .n_window_layers = 22, .window = 512 },
    { "gemma-3-4b", 34, 2560, 8, 4, 256, 10240, 262208, GEMMA3,
      .n_window_layers = 29, .window = 1024 },
    { "gemma-3-12b", 48, 3840, 16, 8, 256, 15360, 262208, GEMMA3,
      .n_window_layers = 40, .window = 1024 },
    { "gemma-3-27b", 62, 5376, 32, 16, 128, 21504, 262208, GEMMA3,
      .n_window_layers = 52, .window = 1024 },
    { "gpt-oss-20b", 24, 2880, 64, 8, 64, 2880, 201088, GPT_OSS, .n_experts = 32,
      .n_window_layers = 12 },
    { "gpt-oss-120b", 36, 2880, 64, 8, 64, 2880, 201088, GPT_OSS, .n_experts = 128,
      .n_window_layers = 18 },
    /* without the block for the token after the next */
    { "glm-4.5-air", 46, 4096, 96, 8, 128, 10944, 151552, .has_qkv_bias = true, .n_experts = 128,
      .n_experts_used = 8, .d_expert = 1408, .n_dense_layers = 1, .d_shared = 1408,
      .has_choice_bias = true, .ctx_tokens = 131072 },
    { "smollm2-135m", 30, 576, 9, 3, 64, 1536, 49152, TIED, .ctx_tokens = 8192 },
    { "smollm2-360m", 32, 960, 15, 5, 64, 2560, 49152, TIED, .ctx_tokens = 8192 },
    { "smollm2-1.7b", 24, 2048, 32, 32, 64, 8192, 49152, TIED, .ctx_tokens = 8192 },
};
const size_t n_shapes = sizeof shapes / sizeof *shapes;

const struct shape *shape_find(const char *name)
{
    for (size_t i = 0; i < n_shapes; i++)
        if (!strcasecmp(name, shapes[i].name)) return &shapes[i];
    return NULL;
}
