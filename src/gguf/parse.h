/* Inside src/gguf: one part of a model file, parsed and checked. */
#ifndef GGUF_PARSE_H
#define GGUF_PARSE_H

#include "gguf/gguf.h"

struct gguf_key {
    struct gguf_string name;
    enum gguf_kind kind;
    const uint8_t *data;        /* of a scalar or string; a string's starts at its length */
    struct gguf_array array;
};

/* Reads map's header, keys and tensors and appends them to g, unsorted; keys only of part 0, of
 * the others just the split keys into *keys / *n_keys, which the caller frees. */
pl_status gguf_parse_part(struct gguf *g, uint32_t part, struct gguf_key **keys, uint64_t *n_keys,
                          pl_err *err);

/* Sorts by name and refuses duplicates. */
pl_status gguf_sort_keys(struct gguf_key *keys, uint64_t n, const char *path, pl_err *err);
pl_status gguf_sort_tensors(struct gguf *g, pl_err *err);

/* Bytes of a string for a message: cut, with everything unprintable replaced. */
struct printable {
    char text[64];
};
struct printable gguf_printable(struct gguf_string s);

/* An unsigned integer key among `keys`, or `otherwise` where it is missing or no integer. */
uint64_t gguf_find_number(const struct gguf_key *keys, uint64_t n, const char *name,
                          uint64_t otherwise);

#endif
