#include "server/json_text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Length of the UTF-8 character at p, or 0 (Unicode's table 3-7). */
static size_t character_bytes(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80) return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4) return 0;
    const size_t length = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (length > n) return 0;
    const unsigned low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    const unsigned high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high) return 0;
    for (size_t i = 2; i < length; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    return length;
}

bool json_text_is_utf8(const char *bytes, size_t n)
{
    const unsigned char *p = (const unsigned char *)bytes;
    for (size_t i = 0, length; i < n; i += length)
        if (!(length = character_bytes(p + i, n - i))) return false;
    return true;
}

char *json_text_clean(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    struct strbuf clean = { 0 };
    strbuf_add(&clean, "", 0);
    for (size_t n = strlen(text), length; n; p += length, n -= length) {
        length = character_bytes(p, n);
        if (length) strbuf_add(&clean, p, length);
        else strbuf_add_str(&clean, "\xef\xbf\xbd");
        if (!length) length = 1;
    }
    return clean.bytes;
}

json_t *json_text_string(const char *text)
{
    char *clean = text ? json_text_clean(text) : NULL;
    json_t *string = text ? json_string(clean ? clean : "") : json_null();
    free(clean);
    return string;
}

size_t json_text_characters(const char *bytes, size_t n)
{
    size_t n_characters = 0;
    for (size_t i = 0; i < n; i++) n_characters += ((unsigned char)bytes[i] & 0xc0) != 0x80;
    return n_characters;
}

static void add_escaped(struct strbuf *b, unsigned char c)
{
    static const char names[] = "\b\t\n\f\r\"\\", letters[] = "btnfr\"\\";
    const char *at = memchr(names, c, sizeof names - 1);
    if (at) {
        const char two[2] = { '\\', letters[at - names] };
        strbuf_add(b, two, 2);
    } else {
        strbuf_addf(b, "\\u%04x", c);
    }
}

void json_text_add(struct strbuf *b, const char *bytes, size_t n)
{
    const unsigned char *p = (const unsigned char *)bytes, *end = p + n, *from = p;

    strbuf_add(b, "\"", 1);
    while (p < end) {
        const size_t length = character_bytes(p, (size_t)(end - p));
        if (length && *p >= 0x20 && *p != '"' && *p != '\\') {
            p += length;
            continue;
        }
        strbuf_add(b, from, (size_t)(p - from));
        if (length) add_escaped(b, *p);
        else strbuf_add(b, "\xef\xbf\xbd", 3);
        from = ++p;
    }
    strbuf_add(b, from, (size_t)(p - from));
    strbuf_add(b, "\"", 1);
}

void json_text_add_bytes(struct strbuf *b, const char *bytes, size_t n)
{
    strbuf_add(b, "[", 1);
    for (size_t i = 0; i < n; i++) strbuf_addf(b, "%s%d", i ? "," : "", (unsigned char)bytes[i]);
    strbuf_add(b, "]", 1);
}
