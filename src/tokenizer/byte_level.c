#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "tokenizer/byte_level.h"
#include "tokenizer/utf8.h"

static bool stands_for_itself(unsigned c)
{
    return (c >= '!' && c <= '~') || (c >= 0xa1 && c <= 0xac) || (c >= 0xae && c <= 0xff);
}

/* The byte a character of the alphabet spells, or -1. The 68 that were moved are 0x00-0x20,
 * 0x7f-0xa0 and 0xad. */
static int alphabet_byte(unsigned c)
{
    if (c < 0x100) return stands_for_itself(c) ? (int)c : -1;
    if (c <= 0x120) return (int)(c - 0x100);
    if (c <= 0x142) return (int)(c - 0x121 + 0x7f);
    return c == 0x143 ? 0xad : -1;
}

size_t byte_level_decode(const char *text, size_t n, char *out)
{
    const unsigned char *b = (const unsigned char *)text;
    size_t n_out = 0;

    for (size_t i = 0; i < n;) {
        const int length = utf8_length(b + i, n - i);
        const size_t step = length > 0 ? (size_t)length : 1;
        int byte = -1;
        if (length == 1) byte = alphabet_byte(b[i]);
        if (length == 2) byte = alphabet_byte((b[i] & 0x1fu) << 6 | (b[i + 1] & 0x3fu));

        if (byte >= 0) {
            out[n_out++] = (char)byte;
        } else {
            memmove(out + n_out, text + i, step);
            n_out += step;
        }
        i += step;
    }
    return n_out;
}
