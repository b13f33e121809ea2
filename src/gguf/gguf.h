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
    uint64_t dim[GGUF_MAX_DIMS]; /* dim[0]: row length (inputs), dim[1]: rows (outputs); 1 beyond
                                  * n_dims, so that trailing dimensions of 1 make no difference */
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
    struct gguf_override *override; /* of gguf_override, newest first: values that keys point to */
};

pl_status gguf_open(struct gguf *g, const char *path, pl_err *err);
void gguf_close(struct gguf *g);

/* Sets keys, in place of the file's or beside them: "KEY=TYPE:VALUE" with TYPE int, float, bool or
 * str, several separated by commas (a comma that no KEY=TYPE: follows belongs to the value). Before
 * the file is read by others. PL_E_PARAM: what is no such text. */
pl_status gguf_override(struct gguf *g, const char *text, pl_err *err);

/* The same of one key, with a value as such a text has it. */
pl_status gguf_override_key(struct gguf *g, const char *key, enum gguf_kind kind, const char *value,
                            pl_err *err);

/* True where the file has the key. */
bool gguf_has(const struct gguf *g, const char *key);
bool gguf_has_array(const struct gguf *g, const char *key);

/* Look-ups fail with PL_E_FORMAT, naming file and key, when the key is missing or of another kind.
 * Integers of every width and sign are accepted where they fit, and so are they, and booleans,
 * for a float; 0 and 1 for a boolean. */
pl_status gguf_u32(const struct gguf *g, const char *key, uint32_t *out, pl_err *err);
pl_status gguf_u64(const struct gguf *g, const char *key, uint64_t *out, pl_err *err);
pl_status gguf_i64(const struct gguf *g, const char *key, int64_t *out, pl_err *err);
pl_status gguf_f32(const struct gguf *g, const char *key, float *out, pl_err *err);
pl_status gguf_bool(const struct gguf *g, const char *key, bool *out, pl_err *err);
pl_status gguf_string(const struct gguf *g, const char *key, struct gguf_string *out, pl_err *err);
pl_status gguf_array(const struct gguf *g, const char *key, enum gguf_kind kind,
                     struct gguf_array *out, pl_err *err);

/* A number that may stand once for each of n layers: an array is accepted where its n elements are
 * equal, else refused by name. */
pl_status gguf_u32_of_layers(const struct gguf *g, const char *key, uint32_t n, uint32_t *out,
                             pl_err *err);

/* An array of integers of any width, or of booleans. */
pl_status gguf_integers(const struct gguf *g, const char *key, struct gguf_array *out, pl_err *err);

/* An array of floats of either width. */
pl_status gguf_floats(const struct gguf *g, const char *key, struct gguf_array *out, pl_err *err);

/* The same with a default for a missing key; a key of the wrong kind is still an error. */
pl_status gguf_u32_or(const struct gguf *g, const char *key, uint32_t otherwise, uint32_t *out,
                      pl_err *err);
pl_status gguf_f32_or(const struct gguf *g, const char *key, float otherwise, float *out,
                      pl_err *err);
pl_status gguf_bool_or(const struct gguf *g, const char *key, bool otherwise, bool *out,
                       pl_err *err);

/* Walks an array of strings: `at` starts at array->data and is moved on; call it array->n times. */
struct gguf_string gguf_next_string(const uint8_t **at);

/* Elements of what gguf_integers and gguf_floats gave; the data need not be aligned. A u64 beyond
 * INT64_MAX comes as that. */
int64_t gguf_array_integer(const struct gguf_array *a, uint64_t i);
float gguf_array_float(const struct gguf_array *a, uint64_t i);

/* NULL: the file has no such tensor. */
const struct gguf_tensor *gguf_find(const struct gguf *g, const char *name);

/* Lets go of the file's pages after the weights were packed. */
void gguf_drop_pages(const struct gguf *g);

#endif
