/* How each family of byte-level BPE models cuts text into pieces before joining bytes. */
#ifndef TOKENIZER_PATTERNS_H
#define TOKENIZER_PATTERNS_H

#include <stdbool.h>
#include <stddef.h>

enum { MAX_STAGES = 6 };

struct pattern_family {
    const char *names;              /* values of tokenizer.ggml.pre, separated by spaces */
    const char *stage[MAX_STAGES];  /* each cuts the pieces of the one before; NULL: no more */
    bool whole_words;               /* a piece that is a token is not joined from its bytes */
    bool adds_bos;                  /* where the file does not say */
};

/* NULL: unknown. */
const struct pattern_family *pattern_find(const char *name, size_t n);

/* The first name of family i, not zero-terminated; NULL past the last. */
const char *pattern_name(size_t i, size_t *n);

#endif
