#include <string.h>

#include "tokenizer/known_tokens.h"

/* U+FF5C and U+2581, as DeepSeek's names have them. */
#define BAR "\xef\xbd\x9c"
#define GAP "\xe2\x96\x81"

static const char *const ends[] = {
    "<|im_end|>",           /* ChatML: Qwen, SmolLM, Yi */
    "<|endoftext|>",        /* GPT-2 and most of its heirs */
    "<|eot_id|>",           /* Llama 3 */
    "<|eom_id|>",           /* Llama 3: a message that calls a tool */
    "<|end_of_text|>",      /* Llama 3, Granite */
    "<|eot|>",              /* Llama 4 */
    "<|eom|>",
    "<end_of_turn>",        /* Gemma */
    "<eos>",
    "<|end|>",              /* Phi 3 */
    "<|return|>",           /* gpt-oss */
    "<|call|>",
    "</s>",                 /* Llama 2, Mistral */
    "<EOT>",
    "<eot>",
    GAP "<EOT>",            /* Code Llama */
    "<|EOT|>",              /* DeepSeek Coder */
    "<" BAR "end" GAP "of" GAP "sentence" BAR ">",
    "<|end_of_turn|>",
    "<|END_OF_TURN_TOKEN|>", /* Command R */
    "<|endofturn|>",
    "[EOT]",
    "<end_of_utterance>",
    "_<EOT>",
    "[EOS]",                /* Kimi */
    "<|flush|>",            /* Solar */
    "<|calls|>",
    "<|fim_pad|>",          /* Qwen Coder, also the next two */
    "<|repo_name|>",
    "<|file_sep|>",
    "<fim-pad>",
    "<fim_pad>",            /* StarCoder, Granite */
    "<|fim_repo|>",
    "<fim-repo>",
    "<reponame>",
};

static const char *const others[] = {
    "<|im_start|>", "<|im_sep|>", "<|startoftext|>",
    "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
    "<start_of_turn>", "<bos>",
    "<|user|>", "<|assistant|>", "<|system|>",              /* Phi 3 */
    "<|start_of_role|>", "<|end_of_role|>",                 /* Granite */
    "<|START_OF_TURN_TOKEN|>",
    "<" BAR "begin" GAP "of" GAP "sentence" BAR ">", "<" BAR "User" BAR ">",
    "<" BAR "Assistant" BAR ">", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>",
    "<fim-prefix>", "<fim-suffix>", "<fim-middle>",
    "<fim_prefix>", "<fim_suffix>", "<fim_middle>",
    "<" BAR "fim" GAP "begin" BAR ">", "<" BAR "fim" GAP "hole" BAR ">",
    "<" BAR "fim" GAP "end" BAR ">",
    "<PRE>", "<SUF>", "<MID>", GAP "<PRE>", GAP "<SUF>", GAP "<MID>",
    "<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>",
};

static bool is_one_of(const char *const *names, size_t n_names, const char *name, size_t n)
{
    for (size_t i = 0; i < n_names; i++)
        if (strlen(names[i]) == n && memcmp(names[i], name, n) == 0) return true;
    return false;
}

bool is_end_token_name(const char *name, size_t n)
{
    return is_one_of(ends, sizeof ends / sizeof *ends, name, n);
}

bool is_control_token_name(const char *name, size_t n)
{
    return is_end_token_name(name, n) || is_one_of(others, sizeof others / sizeof *others, name, n);
}
