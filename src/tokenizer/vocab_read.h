/* Reading a vocabulary: the steps of vocab_open that have a file of their own. */
#ifndef TOKENIZER_VOCAB_READ_H
#define TOKENIZER_VOCAB_READ_H

#include "tokenizer/vocab.h"

/* "<0x0A>" is how SentencePiece names the token of one byte. -1: something else. */
int vocab_byte_of_name(const char *s, size_t n);

/* The type of every token; those that are control tokens by name are made that, with a warning. */
pl_status vocab_read_kinds(struct vocab *v, const struct gguf *g, const struct gguf_array *tokens,
                           pl_err *err);

/* Special tokens, end tokens, and what is put before a text. After the tokens. */
pl_status vocab_read_special(struct vocab *v, const struct gguf *g, pl_err *err);

#endif
