/* A GGUF model file (versions 2 and 3, little-endian), mapped and distrusted: every count, length,
 * offset, type, dimension and string is checked in gguf_open, so that everybody after it may
 * believe what this header hands out. Split files are opened by their first part. Read-only after
 * gguf_open: any thread.
 *
 * I1  every name and string lies inside a map, and every array's elements too
 * I2  every tensor's bytes lie inside its part's data section; offsets are multiples of the
 *     alignment and no two tensors of a part overlap
 * I3  a tensor's dimensions are at least 1, their product fits 63 bits, and its first dimension is
 *     a multiple of its type's block
 * I4  keys are unique, tensor names are unique over all parts */
#ifndef GGUF_GGUF_H
#define GGUF_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/file_map.h"
#include "base/status.h"

enum gguf_kind { /* numbers of the format */
    GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL, GGUF_STRING,
    GGUF_ARRAY, GGUF_U64, GGUF_I64, GGUF_F64,
};

/* Bytes in the map, not zero-terminated. */
struct gguf_string {
    const char *bytes;
    size_t n;
};

struct gguf_array {
    enum gguf_kind kind;        /* of the elements; arrays of arrays are refused */
    uint64_t n;
    const uint8_t *data;        /* packed elements; of strings: u64 length + bytes each */
};

enum { GGUF_MAX_DIMS = 4 };

struct gguf_tensor {
    struct gguf_string name;
    uint32_t type;              /* enum quant_type */
    uint32_t n_dims;
    uint64_t dim[GGUF_MAX_DIMS]; /* (n_dims) dim[0]: row length (inputs), dim[1]: rows (outputs) */
    const uint8_t *data;        /* rows one after another, dim[0] contiguous */
    size_t n_bytes;
};

struct gguf {
    struct file_map *part;      /* (n_parts) */
    uint32_t n_parts;
    uint64_t file_bytes;        /* of all parts */
    struct gguf_key *key;       /* (n_keys), sorted by name */
    uint64_t n_keys;
    struct gguf_tensor *tensor; /* (n_tensors), sorted by name */
    uint64_t n_tensors;
};

pl_status gguf_open(struct gguf *g, const char *path, pl_err *err);
void gguf_close(struct gguf *g);

/* True where the file has the key. */
bool gguf_has(const struct gguf *g, const char *key);

/* Look-ups fail with PL_E_FORMAT, naming file and key, when the key is missing or of another kind.
 * Integers of every width and sign are accepted where they fit. */
pl_status gguf_u32(const struct gguf *g, const char *key, uint32_t *out, pl_err *err);
pl_status gguf_u64(const struct gguf *g, const char *key, uint64_t *out, pl_err *err);
pl_status gguf_f32(const struct gguf *g, const char *key, float *out, pl_err *err);
pl_status gguf_bool(const struct gguf *g, const char *key, bool *out, pl_err *err);
pl_status gguf_string(const struct gguf *g, const char *key, struct gguf_string *out, pl_err *err);
pl_status gguf_array(const struct gguf *g, const char *key, enum gguf_kind kind,
                     struct gguf_array *out, pl_err *err);

/* The same with a default for a missing key; a key of the wrong kind is still an error. */
pl_status gguf_u32_or(const struct gguf *g, const char *key, uint32_t otherwise, uint32_t *out,
                      pl_err *err);
pl_status gguf_f32_or(const struct gguf *g, const char *key, float otherwise, float *out,
                      pl_err *err);
pl_status gguf_bool_or(const struct gguf *g, const char *key, bool otherwise, bool *out,
                       pl_err *err);

/* Walks an array of strings: `at` starts at array->data and is moved on; call it array->n times. */
struct gguf_string gguf_next_string(const uint8_t **at);

/* Elements of arrays of 4-byte numbers; the data need not be aligned. */
int32_t gguf_array_i32(const struct gguf_array *a, uint64_t i);
float gguf_array_f32(const struct gguf_array *a, uint64_t i);

/* NULL: the file has no such tensor. */
const struct gguf_tensor *gguf_find(const struct gguf *g, const char *name);

/* Lets go of the file's pages after the weights were packed. */
void gguf_drop_pages(const struct gguf *g);

#endif
