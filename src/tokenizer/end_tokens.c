#include <string.h>

#include "tokenizer/end_tokens.h"

/* U+FF5C and U+2581, as DeepSeek's names have them. */
#define BAR "\xef\xbd\x9c"
#define GAP "\xe2\x96\x81"

static const char *const names[] = {
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
};

bool is_end_token_name(const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == n && memcmp(names[i], name, n) == 0) return true;
    return false;
}
