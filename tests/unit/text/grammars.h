/* A vocabulary in which every byte is a token, and whether a grammar takes a text. */
#ifndef GRAMMARS_H
#define GRAMMARS_H

#include <stdint.h>
#include <string.h>

#include "text/matcher.h"

enum { BYTES_END = 256, BYTES_CONTROL, BYTES_N, BYTES_WORDS = (BYTES_N + 31) / 32 };

static inline pl_status bytes_vocabulary(struct vocabulary **out, pl_err *err)
{
    static char bytes[BYTES_N * 8];
    size_t offset[BYTES_N + 1], n = 0;
    uint8_t kind[BYTES_N];
    for (int i = 0; i < BYTES_N; i++) {
        const char *name = i == BYTES_END ? "<end>" : "<call>";
        offset[i] = n;
        kind[i] = i < BYTES_END ? MATCHER_TEXT : i == BYTES_END ? MATCHER_END : MATCHER_CONTROL;
        if (i < BYTES_END) bytes[n++] = (char)i;
        else n += strlen(strcpy(bytes + n, name));
    }
    offset[BYTES_N] = n;
    return vocabulary_open(out, bytes, offset, kind, BYTES_N, err);
}

/* Byte for byte, each under the mask that came before it. */
static inline bool matcher_takes(struct matcher *m, const char *text, size_t n)
{
    uint32_t mask[BYTES_WORDS];
    enum matcher_next next = matcher_mask(m, mask, BYTES_WORDS);
    for (size_t i = 0; i < n; i++) {
        const unsigned char byte = (unsigned char)text[i];
        const bool is_allowed = next != MATCHER_COMPLETE && next != MATCHER_FAILED &&
                                (mask[byte / 32] >> (byte % 32) & 1);
        if (!is_allowed || !matcher_push(m, byte)) return false;
        next = matcher_mask(m, mask, BYTES_WORDS);
    }
    return next == MATCHER_MAY_END || next == MATCHER_COMPLETE;
}

#endif
