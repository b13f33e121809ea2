/* The vocabulary of a model file: every token's bytes in one arena, a hash table from bytes to
 * token, and what the file says of special tokens. Read-only once open.
 *
 * I1  the bytes of token i are text[offset[i] .. offset[i + 1]); every id stored here is below
 *     n_vocab or -1
 * I2  the hash table holds exactly the tokens that text may become by joining: no control,
 *     unknown, byte or raw token, so no text can be joined into one */
#ifndef TOKENIZER_VOCAB_H
#define TOKENIZER_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "gguf/gguf.h"

enum token_kind { /* numbers of the format (tokenizer.ggml.token_type) */
    TOKEN_UNDEFINED, TOKEN_NORMAL, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_USER_DEFINED, TOKEN_UNUSED,
    TOKEN_BYTE,
    N_TOKEN_KINDS,
    TOKEN_RAW = N_TOKEN_KINDS,  /* of ours: a normal one of a byte-level vocabulary whose text is
                                 * not in the alphabet of bytes, so that no text is ever joined into
                                 * it */
};

enum vocab_model {
    VOCAB_BYTE_LEVEL,           /* "gpt2": bytes joined by a list of merges */
    VOCAB_SENTENCEPIECE,        /* "llama": characters joined by the score of the result */
    VOCAB_SENTENCEPIECE_MERGES, /* "gemma4": the same characters joined by a list of merges */
};

struct vocab {
    enum vocab_model model;
    uint32_t n_vocab;
    char *text;                 /* arena of all tokens */
    uint32_t *offset;           /* (n_vocab + 1) */
    uint8_t *kind;              /* (n_vocab) enum token_kind */
    bool *is_end;               /* (n_vocab) */
    uint32_t *rank;             /* (n_vocab) of VOCAB_SENTENCEPIECE: place by score, shared by equal
                                 * ones */
    uint32_t *place;            /* (n_places) open addressing: id + 1, 0 is free */
    uint32_t n_places;          /* a power of two */
    uint32_t max_token_bytes;   /* longest token in the hash table */
    int32_t byte_id[256];       /* the token of a single byte, or -1 */
    int32_t bos, eos, unknown;  /* -1: none */
    int adds_bos;               /* 1 yes, 0 no, -1: the file does not say */
    bool adds_eos;
    bool adds_space;            /* SentencePiece: a space is put before the text */
};

pl_status vocab_open(struct vocab *v, const struct gguf *g, pl_err *err);
void vocab_close(struct vocab *v);
size_t vocab_n_bytes(const struct vocab *v);

/* The token of these bytes, or -1. */
int32_t vocab_find(const struct vocab *v, const char *bytes, size_t n);

/* Spaces are written as U+2581, and bytes have tokens of their own. */
static inline bool vocab_is_sentencepiece(const struct vocab *v)
{
    return v->model != VOCAB_BYTE_LEVEL;
}

/* Writes a token's text with U+2581 as a space, never more bytes than it has; returns how many. */
size_t vocab_unescape(const char *s, size_t n, char *out);

/* Control tokens, and the unknown token, whose name is no text either. */
static inline bool vocab_is_control(const struct vocab *v, uint32_t id)
{
    return v->kind[id] == TOKEN_CONTROL || v->kind[id] == TOKEN_UNKNOWN;
}

static inline const char *vocab_text(const struct vocab *v, uint32_t id, size_t *n)
{
    *n = v->offset[id + 1] - v->offset[id];
    return v->text + v->offset[id];
}

#endif
