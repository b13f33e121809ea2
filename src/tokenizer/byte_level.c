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

/* The byte that the character at the start of the text spells, or -1; *step: its own bytes. */
static int next_byte(const char *text, size_t n, size_t *step)
{
    const unsigned char *b = (const unsigned char *)text;
    const int length = utf8_length(b, n);
    *step = length > 0 ? (size_t)length : 1;
    if (length == 1) return alphabet_byte(b[0]);
    return length == 2 ? alphabet_byte((b[0] & 0x1fu) << 6 | (b[1] & 0x3fu)) : -1;
}

bool byte_level_is_spelled(const char *text, size_t n)
{
    size_t step;
    for (size_t i = 0; i < n; i += step)
        if (next_byte(text + i, n - i, &step) < 0) return false;
    return true;
}

size_t byte_level_decode(const char *text, size_t n, char *out)
{
    size_t n_out = 0;

    for (size_t i = 0; i < n;) {
        size_t step;
        const int byte = next_byte(text + i, n - i, &step);
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
