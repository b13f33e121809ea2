/* How each family of byte-level BPE models cuts text into pieces before joining bytes. */
#ifndef TOKENIZER_PATTERNS_H
#define TOKENIZER_PATTERNS_H

#include <stdbool.h>
#include <stddef.h>

enum { MAX_STAGES = 5 };

struct pattern_family {
    const char *names;              /* values of tokenizer.ggml.pre, separated by spaces */
    const char *stage[MAX_STAGES];  /* each cuts the pieces of the one before; NULL: no more */
    bool whole_words;               /* a piece that is a token is not joined from its bytes */
    bool adds_bos;                  /* where the file does not say */
};

/* NULL: unknown. */
const struct pattern_family *pattern_find(const char *name, size_t n);

/* All names, separated by spaces, family after family; NULL past the last. */
const char *pattern_names(size_t i);

#endif
