/* Small GGUF files for tests, sound or not: keys, tensor headers and data are appended piece by
 * piece, the counts are what was appended unless a test changes them, and nothing is checked.
 * Release with build_free; after a failed allocation build_file gives an empty file. */
#ifndef TEST_GGUF_BUILD_H
#define TEST_GGUF_BUILD_H

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "gguf/gguf.h"
#include "quant/quant.h"

struct gguf_build { /* zeroed: version 3, alignment 32 */
    uint32_t version, alignment;
    uint64_t n_keys, n_tensors;
    struct strbuf keys, tensors, data;
};

static inline void build_put(struct strbuf *to, const void *bytes, size_t n)
{
    strbuf_add(to, bytes, n);
}

static inline void build_put_u32(struct strbuf *to, uint32_t v)
{
    strbuf_add(to, &v, sizeof v);
}

static inline void build_put_u64(struct strbuf *to, uint64_t v)
{
    strbuf_add(to, &v, sizeof v);
}

static inline void build_put_string(struct strbuf *to, const char *bytes, size_t n)
{
    build_put_u64(to, n);
    strbuf_add(to, bytes, n);
}

/* The head of a key; its value follows into b->keys. */
static inline void build_key(struct gguf_build *b, const char *name, uint32_t kind)
{
    build_put_string(&b->keys, name, strlen(name));
    build_put_u32(&b->keys, kind);
    b->n_keys++;
}

static inline void build_number(struct gguf_build *b, const char *name, uint32_t kind,
                                const void *value, size_t n)
{
    build_key(b, name, kind);
    build_put(&b->keys, value, n);
}

static inline void build_u32(struct gguf_build *b, const char *name, uint32_t v)
{
    build_number(b, name, GGUF_U32, &v, sizeof v);
}

static inline void build_string(struct gguf_build *b, const char *name, const char *v)
{
    build_key(b, name, GGUF_STRING);
    build_put_string(&b->keys, v, strlen(v));
}

/* The head of an array; its elements follow into b->keys. */
static inline void build_array(struct gguf_build *b, const char *name, uint32_t kind, uint64_t n)
{
    build_key(b, name, GGUF_ARRAY);
    build_put_u32(&b->keys, kind);
    build_put_u64(&b->keys, n);
}

/* A tensor's header alone. */
static inline void build_tensor_head(struct gguf_build *b, const char *name, uint32_t type,
                                     uint32_t n_dims, const uint64_t *dim, uint64_t offset)
{
    build_put_string(&b->tensors, name, strlen(name));
    build_put_u32(&b->tensors, n_dims);
    for (uint32_t d = 0; d < n_dims; d++) build_put_u64(&b->tensors, dim[d]);
    build_put_u32(&b->tensors, type);
    build_put_u64(&b->tensors, offset);
    b->n_tensors++;
}

/* Zeros up to the next multiple of the alignment after `before` + to->n bytes. */
static inline void build_pad(const struct gguf_build *b, struct strbuf *to, size_t before)
{
    const size_t alignment = b->alignment ? b->alignment : 32;
    while (!to->failed && (before + to->n) % alignment) strbuf_add(to, "", 1);
}

/* Header and data, byte i of the data being i * 7 + seed. */
static inline void build_tensor(struct gguf_build *b, const char *name, uint32_t type,
                                uint32_t n_dims, const uint64_t *dim, uint8_t seed)
{
    size_t n_bytes = quant_row_bytes(type, dim[0]);
    for (uint32_t d = 1; d < n_dims; d++) n_bytes *= dim[d];
    build_pad(b, &b->data, 0);
    build_tensor_head(b, name, type, n_dims, dim, b->data.n);
    for (size_t i = 0; i < n_bytes; i++) strbuf_add(&b->data, &(uint8_t){ i * 7 + seed }, 1);
}

/* The whole file; release with strbuf_free. */
static inline struct strbuf build_file(const struct gguf_build *b)
{
    struct strbuf file = { 0 };
    strbuf_add(&file, "GGUF", 4);
    build_put_u32(&file, b->version ? b->version : 3);
    build_put_u64(&file, b->n_tensors);
    build_put_u64(&file, b->n_keys);
    strbuf_add(&file, b->keys.bytes, b->keys.n);
    strbuf_add(&file, b->tensors.bytes, b->tensors.n);
    build_pad(b, &file, 0);
    strbuf_add(&file, b->data.bytes, b->data.n);
    return file;
}

static inline void build_free(struct gguf_build *b)
{
    strbuf_free(&b->keys);
    strbuf_free(&b->tensors);
    strbuf_free(&b->data);
    *b = (struct gguf_build){ 0 };
}

/* False: the file could not be written whole. */
static inline bool build_write(const char *path, const void *bytes, size_t n)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return false;
    const bool is_whole = write(fd, bytes, n) == (ssize_t)n;
    return !close(fd) && is_whole;
}

#endif
