#include "model/arch.h"

#include <stdio.h>
#include <string.h>

static const struct arch *const archs[] = {
    &arch_llama, &arch_mistral3, &arch_smollm3, &arch_granite, &arch_granitemoe, &arch_qwen2,
    &arch_qwen3, &arch_qwen2moe, &arch_qwen3moe, &arch_qwen3vl, &arch_qwen3vlmoe, &arch_seed_oss,
    &arch_gemma2, &arch_gemma3, &arch_gemma3n, &arch_gemma4, &arch_phi3, &arch_glm4,
    &arch_glm4moe, &arch_exaone4, &arch_olmo2, &arch_gpt_oss, &arch_cohere2, &arch_deepseek2,
    &arch_qwen35, &arch_qwen35moe, &arch_qwen3next, &arch_granitehybrid, &arch_nemotron_h,
    &arch_falcon_h1, &arch_lfm2, &arch_lfm2moe, &arch_ernie4_5, &arch_ernie4_5_moe,
    &arch_hunyuan_dense, &arch_hunyuan_moe, &arch_minimax_m2, &arch_llama4,
};

const struct arch *arch_find(struct gguf_string name)
{
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++)
        if (strlen(archs[i]->name) == name.n && !memcmp(archs[i]->name, name.bytes, name.n))
            return archs[i];
    return NULL;
}

/* As many as a message has room for, and where the others are. */
struct arch_list arch_names(bool of_mixtures)
{
    enum { MOST = 64 };
    struct arch_list list = { "" };
    size_t n = 0, n_left = 0;
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++) {
        if (of_mixtures && archs[i]->experts == ABSENT) continue;
        if (n + strlen(archs[i]->name) > MOST) n_left++;
        else
            n += (size_t)snprintf(list.text + n, sizeof list.text - n, "%s%s", n ? ", " : "",
                                  archs[i]->name);
    }
    if (n_left)
        snprintf(list.text + n, sizeof list.text - n, " and %zu more (docs/models.md)", n_left);
    return list;
}
