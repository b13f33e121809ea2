#include "base/strbuf.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(struct strbuf *b)
{
    strbuf_free(b);
    b->failed = true;
}

static bool make_room(struct strbuf *b, size_t n_more)
{
    if (b->failed) return false;
    if (n_more >= b->capacity - b->n) {
        size_t capacity = b->capacity ? b->capacity : 64;
        while (capacity - b->n <= n_more && capacity < SIZE_MAX / 2) capacity *= 2;
        char *bytes = capacity - b->n > n_more ? realloc(b->bytes, capacity) : NULL;
        if (!bytes) {
            fail(b);
            return false;
        }
        b->bytes = bytes;
        b->capacity = capacity;
    }
    return true;
}

void strbuf_add(struct strbuf *b, const void *bytes, size_t n)
{
    if (!make_room(b, n)) return;
    if (n) memcpy(b->bytes + b->n, bytes, n);
    b->n += n;
    b->bytes[b->n] = 0;
}

void strbuf_add_str(struct strbuf *b, const char *text)
{
    strbuf_add(b, text, strlen(text));
}

void strbuf_addf(struct strbuf *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int n = vsnprintf(NULL, 0, format, args);
    if (n < 0) {
        fail(b);
    } else if (make_room(b, (size_t)n)) {
        vsnprintf(b->bytes + b->n, (size_t)n + 1, format, again);
        b->n += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

void strbuf_clear(struct strbuf *b)
{
    b->n = 0;
    if (b->bytes) b->bytes[0] = 0;
}

void strbuf_drop(struct strbuf *b, size_t n)
{
    assert(n <= b->n || b->failed);
    if (!b->bytes) return;
    memmove(b->bytes, b->bytes + n, b->n - n + 1);
    b->n -= n;
}

size_t strbuf_take(struct strbuf *b, size_t *at, char *to, size_t max)
{
    const size_t n = b->n - *at < max ? b->n - *at : max;
    if (n) memcpy(to, b->bytes + *at, n);
    *at += n;
    if (*at == b->n) {
        strbuf_clear(b);
        *at = 0;
    }
    return n;
}

void strbuf_free(struct strbuf *b)
{
    free(b->bytes);
    *b = (struct strbuf){0};
}
