/* Finding the names of special tokens in text: the leftmost one, of several at one place the
 * longest. The names are sorted; matching narrows the range that agrees with the text byte by byte.
 * Names are at most SPECIAL_MAX_BYTES long, so a search is linear in the text. */
#ifndef TOKENIZER_SPECIAL_H
#define TOKENIZER_SPECIAL_H

#include "tokenizer/vocab.h"

enum { SPECIAL_MAX_BYTES = 256 };

struct special_set {
    uint32_t *id;               /* (n) sorted by name */
    uint32_t n;
    uint32_t first[257];        /* names that start with byte b: first[b] .. first[b + 1] */
};

/* The tokens for which `belongs` is true. Empty names are left out; too long ones are refused. */
pl_status special_open(struct special_set *set, const struct vocab *v,
                       bool (*belongs)(const struct vocab *v, uint32_t id), pl_err *err);
void special_close(struct special_set *set);

struct special_match {
    size_t at, n_bytes;
    uint32_t id;
};

/* The next name at or after `from`; false: none. */
bool special_find(const struct special_set *set, const struct vocab *v, const char *text, size_t n,
                  size_t from, struct special_match *out);

#endif
