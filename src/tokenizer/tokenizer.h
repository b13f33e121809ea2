/* Text to tokens and back, as the model file defines it: byte-level BPE ("gpt2") and
 * SentencePiece-style ("llama", "gemma4") vocabularies. Built once from a GGUF file; read-only
 * afterwards: any thread. It copies what it needs, so the file's pages may be dropped.
 *
 * I1  tokenizing and detokenizing any bytes is defined; nothing here trusts text to be UTF-8
 * I2  detokenising what was tokenised gives the same bytes (SentencePiece: but for a leading space
 *     the file asks to add, and U+2581, which that vocabulary spells as a space; byte-level: but
 *     for bytes the vocabulary has no token of, which the models' own tokenizers leave out too)
 * I3  time is O(n log n) in the text, whatever the text */
#ifndef TOKENIZER_TOKENIZER_H
#define TOKENIZER_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "gguf/gguf.h"

struct tokenizer;

pl_status tokenizer_open(struct tokenizer **out, const struct gguf *g, pl_err *err);
void tokenizer_close(struct tokenizer *t);

uint32_t tokenizer_n_vocab(const struct tokenizer *t);
size_t tokenizer_n_bytes(const struct tokenizer *t);    /* memory held */

int32_t tokenizer_bos(const struct tokenizer *t);       /* -1: none */
int32_t tokenizer_eos(const struct tokenizer *t);       /* -1: none */
bool tokenizer_adds_bos(const struct tokenizer *t);     /* the file asks for it */
bool tokenizer_adds_eos(const struct tokenizer *t);     /* likewise, behind a text */
bool tokenizer_is_control(const struct tokenizer *t, int32_t id);

/* True for every token that ends a reply: eos, and the end-of-turn and end-of-message tokens that
 * the file names or that bear one of the known names. */
bool tokenizer_is_end(const struct tokenizer *t, int32_t id);

/* The bytes a token stands for; of a control token its name. n is 0 for an id out of range. */
const char *tokenizer_bytes(const struct tokenizer *t, int32_t id, size_t *n);

struct token_list { /* a growing list; zeroed is empty; release with token_list_free */
    int32_t *ids;
    size_t n, capacity;
};

void token_list_free(struct token_list *list);

/* Appends the tokens of the text. special: names of control tokens written in the text become those
 * tokens (user-defined tokens always do). The begin token is never added here.
 *
 * guard: a sequence of bytes (one UTF-8 character) that is removed from the text after control
 * tokens were looked for and before anything else: chat templates use it to break what looks like
 * a control token inside message content. NULL: none. */
pl_status tokenizer_encode(const struct tokenizer *t, const char *text, size_t n_bytes,
                           bool special, const char *guard, struct token_list *out, pl_err *err);

/* Calls fn for every control token's name: what message content must not be able to spell. */
void tokenizer_each_control(const struct tokenizer *t,
                            void (*fn)(void *arg, const char *name, size_t n), void *arg);

/* ---- streaming ------------------------------------------------------------------------------ */

/* Assembles whole UTF-8 characters out of token bytes. A zeroed decoder is ready. */
struct utf8_stream {
    unsigned char pending[4];   /* the start of a character that is not whole yet */
    unsigned n_pending;
};

enum { UTF8_STREAM_SLACK = 16 };

/* Takes n bytes and writes the whole characters they complete to out, which has room for
 * 3 * n + UTF8_STREAM_SLACK bytes; returns how many bytes were written. Bytes that can form no
 * character become U+FFFD, as Unicode's "maximal subpart" practice says. */
size_t utf8_stream_push(struct utf8_stream *s, const char *bytes, size_t n, char *out);

/* The end: what is still pending becomes U+FFFD. Room for UTF8_STREAM_SLACK bytes. */
size_t utf8_stream_finish(struct utf8_stream *s, char *out);

#endif
