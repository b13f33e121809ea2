#include "model/arch.h"

#include <string.h>

static const struct arch *const archs[] = { &arch_llama, &arch_qwen2, &arch_qwen3, &arch_gemma3,
                                           &arch_qwen2moe, &arch_qwen3moe };

const struct arch *arch_find(struct gguf_string name)
{
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++)
        if (strlen(archs[i]->name) == name.n && !memcmp(archs[i]->name, name.bytes, name.n))
            return archs[i];
    return NULL;
}

const char *arch_names(void)
{
    return "llama, qwen2, qwen3, gemma3, qwen2moe, qwen3moe";
}
