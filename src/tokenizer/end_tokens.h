/* Names of control tokens that end a reply. */
#ifndef TOKENIZER_END_TOKENS_H
#define TOKENIZER_END_TOKENS_H

#include <stdbool.h>
#include <stddef.h>

/* Files state one end token, and often not the one that ends a turn: base models that were tuned
 * for chat keep <|endoftext|> as eos while their template ends a turn with <|im_end|>, and Llama 3
 * files name <|end_of_text|> while replies end in <|eot_id|>. A model that wrote such a name has
 * finished its reply, whichever key the converter filled. */
bool is_end_token_name(const char *name, size_t n);

#endif
