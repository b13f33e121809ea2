/* Control tokens that are known by name, whatever a file says of them. */
#ifndef TOKENIZER_KNOWN_TOKENS_H
#define TOKENIZER_KNOWN_TOKENS_H

#include <stdbool.h>
#include <stddef.h>

/* Names that end a reply. Files state one end token, and often not the one that ends a turn: base
 * models that were tuned for chat keep <|endoftext|> as eos while their template ends a turn with
 * <|im_end|>, and Llama 3 files name <|end_of_text|> while replies end in <|eot_id|>. A model that
 * wrote such a name has finished its reply, whichever key the converter filled. What follows a
 * piece of code in a fill-in-the-middle model (padding, the next file) ends it too. */
bool is_end_token_name(const char *name, size_t n);

/* Those, and names that begin a turn, head one or mark the parts of a fill-in-the-middle prompt.
 * Converters now and then type such a token as text, and then replies run on over it and what a
 * user writes can end a turn. */
bool is_control_token_name(const char *name, size_t n);

#endif
