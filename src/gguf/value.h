/* Inside src/gguf: one key's value as it lies in the file. */
#ifndef GGUF_VALUE_H
#define GGUF_VALUE_H

#include <string.h>

#include "gguf/gguf.h"

struct gguf_key {
    struct gguf_string name;
    enum gguf_kind kind;
    const uint8_t *data;        /* of a scalar or string; a string's starts at its length */
    struct gguf_array array;
};

/* Values lie in the file unaligned. */
#define LOAD(type, p) __extension__({ type v_; memcpy(&v_, p, sizeof v_); v_; })

/* Bytes of a number of this kind; 0: it is none. */
size_t gguf_kind_bytes(uint32_t kind);

/* "u32", "an array": for messages. */
const char *gguf_kind_name(enum gguf_kind kind);

/* An integer of any width as sign and magnitude; false: the kind is no integer. */
bool gguf_integer_at(enum gguf_kind kind, const uint8_t *at, bool *is_negative,
                     uint64_t *magnitude);

/* Bytes of a string for a message: cut, with everything unprintable replaced. */
struct printable {
    char text[64];
};
struct printable gguf_printable(struct gguf_string s);

pl_status gguf_wrong_kind(const char *path, const struct gguf_key *k, const char *wanted,
                          pl_err *err);

#endif
