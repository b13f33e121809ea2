/* A cursor over untrusted bytes. The first read beyond the end makes it `failed`; later reads give
 * zeros and move nowhere, so one check after many reads is enough. */
#ifndef GGUF_READER_H
#define GGUF_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "gguf/gguf.h"

/* Numbers are copied as they lie in the file. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "GGUF files are little-endian");

struct reader {
    const uint8_t *start, *at, *end;
    bool failed;
};

static inline size_t reader_left(const struct reader *r)
{
    return (size_t)(r->end - r->at);
}

/* The next n bytes, or NULL. */
static inline const uint8_t *read_bytes(struct reader *r, uint64_t n)
{
    if (r->failed || n > reader_left(r)) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *bytes = r->at;
    r->at += n;
    return bytes;
}

static inline uint32_t read_u32(struct reader *r)
{
    uint32_t v = 0;
    const uint8_t *p = read_bytes(r, sizeof v);
    if (p) memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t read_u64(struct reader *r)
{
    uint64_t v = 0;
    const uint8_t *p = read_bytes(r, sizeof v);
    if (p) memcpy(&v, p, sizeof v);
    return v;
}

static inline struct gguf_string read_string(struct reader *r)
{
    struct gguf_string s = { "", 0 };
    const uint64_t n = read_u64(r);
    const uint8_t *p = read_bytes(r, n);
    if (p) s = (struct gguf_string){ (const char *)p, (size_t)n };
    return s;
}

#endif
