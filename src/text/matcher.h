/* Constrained decoding, by llguidance behind the Rust shim (rust/src/grammar.rs): which tokens a
 * reply may go on with so that it keeps to a grammar.
 *
 * Threads: a vocabulary is used by any, a matcher by one at a time. All of these allocate. */
#ifndef TEXT_MATCHER_H
#define TEXT_MATCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct vocabulary;
struct matcher;

/* What a token is to a grammar. Control tokens and ends are no text: no text matches them. */
enum { MATCHER_TEXT, MATCHER_CONTROL, MATCHER_END };

/* All tokens of a model, as a trie. bytes: one after another; offset (n + 1): where each begins;
 * kind (n). */
pl_status vocabulary_open(struct vocabulary **out, const char *bytes, const size_t *offset,
                          const uint8_t *kind, size_t n, pl_err *err);
void vocabulary_close(struct vocabulary *v);

/* Compiles the source, or copies what was compiled of an equal one before. PL_E_GRAMMAR: it is no
 * such grammar, or asks for what there is not; its words name that. The vocabulary must outlive the
 * matcher. */
pl_status matcher_open(struct matcher **out, const struct vocabulary *v, pl_grammar_kind kind,
                       const char *source, size_t n_bytes, pl_err *err);
void matcher_close(struct matcher *m);

/* The reply goes on with a token, or with text however it is cut into tokens. False: not in this
 * grammar, or the matcher has failed. */
bool matcher_push(struct matcher *m, int32_t token);
bool matcher_push_text(struct matcher *m, const char *bytes, size_t n);

enum matcher_next {
    MATCHER_GOES_ON,            /* with a token of the mask */
    MATCHER_MAY_END,            /* or is over */
    MATCHER_COMPLETE,           /* is over: nothing may follow */
    MATCHER_FAILED,             /* too much would have to be looked at; logged */
};

/* Sets bit t % 32 of mask[t / 32], (n_words), for every token t that may come next and ends no
 * reply; clears the others. */
enum matcher_next matcher_mask(struct matcher *m, uint32_t *mask, size_t n_words);

#endif
