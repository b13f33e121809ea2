/* The one place that knows what well-formed UTF-8 is (Unicode 15, table 3-7). */
#ifndef TOKENIZER_UTF8_H
#define TOKENIZER_UTF8_H

#include <stddef.h>

/* Length of the character that starts at b; 0: the n bytes are the beginning of one; -1: no
 * character starts like this. */
static inline int utf8_length(const unsigned char *b, size_t n)
{
    if (n == 0) return 0;
    if (b[0] < 0x80) return 1;
    if (b[0] < 0xc2 || b[0] > 0xf4) return -1;

    const int length = b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;
    /* The second byte excludes overlong forms, surrogates and numbers past U+10FFFF. */
    unsigned low = 0x80, high = 0xbf;
    if (b[0] == 0xe0) low = 0xa0;
    if (b[0] == 0xed) high = 0x9f;
    if (b[0] == 0xf0) low = 0x90;
    if (b[0] == 0xf4) high = 0x8f;

    for (int i = 1; i < length; i++) {
        if ((size_t)i == n) return 0;
        if (b[i] < low || b[i] > high) return -1;
        low = 0x80;
        high = 0xbf;
    }
    return length;
}

#endif
