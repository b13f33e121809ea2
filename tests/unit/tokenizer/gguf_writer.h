/* Writes a GGUF file of keys only, for tests: a vocabulary made in memory. Keys are appended to a
 * strbuf; writer_open puts the header before them and opens the file. */
#ifndef TEST_GGUF_WRITER_H
#define TEST_GGUF_WRITER_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "gguf/gguf.h"

struct gguf_writer { /* zeroed is empty */
    struct strbuf keys;
    uint64_t n_keys;
};

static inline void put_u32(struct strbuf *b, uint32_t v)
{
    strbuf_add(b, &v, sizeof v);
}

static inline void put_u64(struct strbuf *b, uint64_t v)
{
    strbuf_add(b, &v, sizeof v);
}

static inline void put_string(struct strbuf *b, const char *s, size_t n)
{
    put_u64(b, n);
    strbuf_add(b, s, n);
}

static inline void write_key(struct gguf_writer *w, const char *key, enum gguf_kind kind)
{
    put_string(&w->keys, key, strlen(key));
    put_u32(&w->keys, kind);
    w->n_keys++;
}

static inline void write_string(struct gguf_writer *w, const char *key, const char *s)
{
    write_key(w, key, GGUF_STRING);
    put_string(&w->keys, s, strlen(s));
}

static inline void write_u32(struct gguf_writer *w, const char *key, uint32_t v)
{
    write_key(w, key, GGUF_U32);
    put_u32(&w->keys, v);
}

static inline void write_bool(struct gguf_writer *w, const char *key, bool v)
{
    write_key(w, key, GGUF_BOOL);
    strbuf_add(&w->keys, &(const uint8_t){ v }, 1);
}

/* The head of an array; its n elements follow with put_*. */
static inline void write_array(struct gguf_writer *w, const char *key, enum gguf_kind kind,
                               uint64_t n)
{
    write_key(w, key, GGUF_ARRAY);
    put_u32(&w->keys, kind);
    put_u64(&w->keys, n);
}

/* Writes the file, opens and unlinks it. The writer is empty afterwards. */
static inline pl_status writer_open(struct gguf_writer *w, struct gguf *g, pl_err *err)
{
    char path[] = "/tmp/paceline-vocab-XXXXXX";
    const int fd = mkstemp(path);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "wb");
    if (!f) return pl_fail(err, PL_E_IO, "%s cannot be written", path);

    struct strbuf head = { 0 };
    strbuf_add(&head, "GGUF", 4);
    put_u32(&head, 3);
    put_u64(&head, 0); /* tensors */
    put_u64(&head, w->n_keys);
    const bool failed = head.failed || w->keys.failed;
    if (!failed) {
        fwrite(head.bytes, 1, head.n, f);
        fwrite(w->keys.bytes, 1, w->keys.n, f);
        for (size_t n = head.n + w->keys.n; n % 32; n++) fputc(0, f);
    }
    fclose(f);
    strbuf_free(&head);
    strbuf_free(&w->keys);
    *w = (struct gguf_writer){ 0 };

    pl_status st = failed ? pl_fail(err, PL_E_IO, "no memory to write %s", path)
                          : gguf_open(g, path, err);
    unlink(path);
    return st;
}

#endif
