/* Byte-level BPE: a piece starts as its bytes, and the pair of tokens that stands first in the
 * file's list of merges is joined until none is left. SentencePiece's characters may be joined by
 * such a list too (spm.h): then there are merges alone. */
#ifndef TOKENIZER_BPE_H
#define TOKENIZER_BPE_H

#include "tokenizer/merge.h"
#include "tokenizer/pretokenise.h"
#include "tokenizer/token_list.h"
#include "tokenizer/vocab.h"

struct bpe_merge {
    uint64_t pair;              /* left id above right id */
    uint32_t rank;              /* place in the list */
    int32_t id;                 /* what they become; -1: a free place */
};

struct bpe {
    const struct vocab *vocab;
    struct pretokeniser pretokeniser;   /* closed where there are merges alone */
    struct bpe_merge *place;    /* (n_places) open addressing */
    uint32_t n_places;          /* a power of two */
};

/* The vocabulary stays the caller's and must outlive the bpe. */
pl_status bpe_open(struct bpe *b, const struct vocab *v, const struct gguf *g, pl_err *err);
void bpe_close(struct bpe *b);
size_t bpe_n_bytes(const struct bpe *b);

/* The place of a pair in the list and in *joined what it becomes, or MERGE_NONE. */
uint32_t bpe_rank(const struct bpe *b, int32_t left, int32_t right, int32_t *joined);

/* Appends the tokens of a text without special tokens. A byte for which the vocabulary has no
 * token is left out, as the models' own tokenizers do. */
pl_status bpe_encode(const struct bpe *b, const char *text, size_t n, struct merge_work *work,
                     struct token_list *out, pl_err *err);

#endif
