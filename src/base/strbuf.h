/* A growing byte string for cold paths, always zero-terminated once anything was added.
 *
 * Failure is sticky: after an allocation failed `failed` is set, the content is gone and further
 * calls do nothing, so one check after many appends is enough. A zeroed strbuf is empty. */
#ifndef BASE_STRBUF_H
#define BASE_STRBUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct strbuf {
    char *bytes;    /* (n) and a zero; NULL when empty */
    size_t n, capacity;
    bool failed;
};

void strbuf_add(struct strbuf *b, const void *bytes, size_t n);
void strbuf_add_str(struct strbuf *b, const char *text);
void strbuf_addf(struct strbuf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Forgets the content, keeps the memory. */
void strbuf_clear(struct strbuf *b);

/* Drops the first n bytes; there are as many. */
void strbuf_drop(struct strbuf *b, size_t n);

/* Copies what comes at *at, at most `max` bytes of it, and moves *at on; where nothing is left the
 * buffer is empty and *at 0 again. Returns how many. */
size_t strbuf_take(struct strbuf *b, size_t *at, char *to, size_t max);

void strbuf_free(struct strbuf *b);

#endif
