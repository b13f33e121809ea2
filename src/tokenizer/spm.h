/* SentencePiece-style tokens (Kudo and Richardson, 2018; the BPE model): a text starts as its
 * characters, and the neighbours that together are the token of highest score are joined until
 * none are. What is no token afterwards is spelled in byte tokens. */
#ifndef TOKENIZER_SPM_H
#define TOKENIZER_SPM_H

#include "tokenizer/bpe.h"
#include "tokenizer/merge.h"
#include "tokenizer/token_list.h"
#include "tokenizer/vocab.h"

/* Appends the tokens of a text without special tokens. merges: by whose list neighbours are joined,
 * not by scores, runs of newlines apart from the rest, those that are a token as that; NULL: by
 * scores. */
pl_status spm_encode(const struct vocab *v, const struct bpe *merges, const char *text, size_t n,
                     struct merge_work *work, struct token_list *out, pl_err *err);

#endif
