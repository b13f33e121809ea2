/* Inside src/gguf: one part of a model file, parsed and checked. */
#ifndef GGUF_PARSE_H
#define GGUF_PARSE_H

#include "gguf/gguf.h"
#include "gguf/value.h"

/* What a part says of itself. */
struct gguf_split {
    uint64_t number, count;     /* number < count */
    uint64_t n_tensors;         /* of all parts, where has_n_tensors */
    bool has_n_tensors;
};

/* Maps and parses one more part. Keys are kept of the first part alone. */
pl_status gguf_add_part(struct gguf *g, const char *path, struct gguf_split *split, pl_err *err);

/* The same for all parts after the first, which is open. */
pl_status gguf_add_other_parts(struct gguf *g, const struct gguf_split *split, pl_err *err);

pl_status gguf_read_split(const struct gguf_key *keys, uint64_t n_keys, const char *path,
                          struct gguf_split *out, pl_err *err);

/* Reads the header, keys and tensors of a mapped part. Tensors are appended to g, unsorted; keys go
 * to *keys (n_keys), sorted, which the caller frees after failure too. */
pl_status gguf_parse_part(struct gguf *g, uint32_t part, struct gguf_key **keys, uint64_t *n_keys,
                          pl_err *err);

/* Sorts by name and refuses duplicates. */
pl_status gguf_sort_keys(struct gguf_key *keys, uint64_t n, const char *path, pl_err *err);
pl_status gguf_sort_tensors(struct gguf *g, pl_err *err);

/* NULL: there is none. */
const struct gguf_key *gguf_find_key(const struct gguf *g, const char *name);

void gguf_free_overrides(struct gguf *g);

/* An integer key of at least 0 among `keys`, or `otherwise` where it is missing. */
pl_status gguf_number_or(const struct gguf_key *keys, uint64_t n, const char *name,
                         uint64_t otherwise, uint64_t *out, const char *path, pl_err *err);

#endif
