/* One part of a GGUF file: header, keys, tensors. The order of checks is the order of the bytes;
 * nothing is allocated beyond what the file's own size can account for. */
#include "gguf/parse.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gguf/reader.h"
#include "quant/quant.h"

enum {
    MAGIC = 0x46554747,         /* "GGUF" */
    DEFAULT_ALIGNMENT = 32,
    MAX_ALIGNMENT = 65536,
    MAX_NAME_BYTES = 65535,
    /* the least bytes of a key (length, kind, one byte) and of a tensor (length, dimension count,
     * one dimension, type, offset): they bound counts before anything is allocated */
    MIN_KEY_BYTES = 8 + 4 + 1,
    MIN_TENSOR_BYTES = 8 + 4 + 8 + 4 + 8,
};

static bool starts_with(const uint8_t *p, size_t n, const char *magic)
{
    const size_t n_magic = strlen(magic);
    return n >= n_magic && memcmp(p, magic, n_magic) == 0;
}

/* A name for what stands where "GGUF" should. */
static const char *other_format(const uint8_t *p, size_t n)
{
    static const struct {
        const char *magic, *name;
    } formats[] = {
        { "FUGG", "a big-endian GGUF file; little-endian is wanted" },
        { "lmgg", "a model file from before GGUF (GGML); convert it to GGUF" },
        { "fmgg", "a model file from before GGUF (GGMF); convert it to GGUF" },
        { "tjgg", "a model file from before GGUF (GGJT); convert it to GGUF" },
        { "version https://git-lfs", "a Git LFS pointer; fetch the file itself with git lfs" },
        { "PK", "a zip archive (a PyTorch model?); a GGUF file is wanted" },
        { "<", "an HTML page; was the download refused?" },
        { "{", "JSON text; a GGUF file is wanted" },
    };
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (starts_with(p, n, formats[i].magic)) return formats[i].name;
    if (n >= 9 && p[8] == '{') return "a safetensors file; convert it to GGUF";
    return "not a GGUF file";
}

static pl_status read_header(struct reader *r, const char *path, uint64_t *n_tensors,
                             uint64_t *n_keys, pl_err *err)
{
    if (reader_left(r) < 4 || memcmp(r->at, "GGUF", 4))
        return pl_fail(err, PL_E_FORMAT, "%s: %s", path, other_format(r->at, reader_left(r)));
    read_u32(r);
    const uint32_t version = read_u32(r);
    *n_tensors = read_u64(r);
    *n_keys = read_u64(r);
    if (r->failed)
        return pl_fail(err, PL_E_FORMAT, "%s: ends inside the header (%zu bytes)", path,
                       (size_t)(r->end - r->start));
    if ((version & 0xffff) == 0 && version)
        return pl_fail(err, PL_E_UNSUPPORTED, "%s: big-endian GGUF; little-endian is wanted", path);
    if (version < 2 || version > 3)
        return pl_fail(err, PL_E_UNSUPPORTED, "%s: GGUF version %" PRIu32 "; 2 and 3 are read",
                       path, version);
    if (*n_keys > reader_left(r) / MIN_KEY_BYTES || *n_tensors > reader_left(r) / MIN_TENSOR_BYTES)
        return pl_fail(err, PL_E_FORMAT,
                       "%s: %" PRIu64 " keys and %" PRIu64 " tensors do not fit %zu bytes", path,
                       *n_keys, *n_tensors, reader_left(r));
    return PL_OK;
}

static bool is_good_name(struct gguf_string s)
{
    return s.n > 0 && s.n <= MAX_NAME_BYTES && !memchr(s.bytes, 0, s.n);
}

static pl_status read_array(struct reader *r, struct gguf_key *k, const char *path, pl_err *err)
{
    struct gguf_array *a = &k->array;
    a->kind = read_u32(r);
    a->n = read_u64(r);
    a->data = r->at;
    if (a->kind == GGUF_STRING) {
        for (uint64_t i = 0; i < a->n && !r->failed; i++) read_string(r);
    } else if (!gguf_kind_bytes(a->kind)) {
        if (!r->failed)
            return pl_fail(err, a->kind == GGUF_ARRAY ? PL_E_UNSUPPORTED : PL_E_FORMAT,
                           "%s: key %s: an array of %s (kind %" PRIu32 "); numbers, booleans and "
                           "strings are read", path, gguf_printable(k->name).text,
                           a->kind == GGUF_ARRAY ? "arrays" : "something unknown",
                           (uint32_t)a->kind);
    } else if (a->n > reader_left(r) / gguf_kind_bytes(a->kind)) {
        r->failed = true;
    } else {
        read_bytes(r, a->n * gguf_kind_bytes(a->kind));
    }
    for (uint64_t i = 0; a->kind == GGUF_BOOL && !r->failed && i < a->n; i++)
        if (a->data[i] > 1)
            return pl_fail(err, PL_E_FORMAT, "%s: key %s: element %" PRIu64 " is %d; 0 or 1 is "
                           "wanted", path, gguf_printable(k->name).text, i, a->data[i]);
    return PL_OK;
}

static pl_status read_key(struct reader *r, struct gguf_key *k, uint64_t i, const char *path,
                          pl_err *err)
{
    pl_status st = PL_OK;
    k->name = read_string(r);
    k->kind = read_u32(r);
    k->data = r->at;
    if (r->failed) goto cut;
    if (!is_good_name(k->name))
        return pl_fail(err, PL_E_FORMAT, "%s: key %" PRIu64 " has a name of %zu bytes; 1..%d "
                       "without zero bytes are wanted", path, i, k->name.n, MAX_NAME_BYTES);
    if (k->kind == GGUF_ARRAY) {
        st = read_array(r, k, path, err);
    } else if (k->kind == GGUF_STRING) {
        read_string(r);
    } else if (gguf_kind_bytes(k->kind)) {
        const uint8_t *value = read_bytes(r, gguf_kind_bytes(k->kind));
        if (value && k->kind == GGUF_BOOL && *value > 1)
            return pl_fail(err, PL_E_FORMAT, "%s: key %s is %d; a boolean is 0 or 1", path,
                           gguf_printable(k->name).text, *value);
    } else {
        return pl_fail(err, PL_E_FORMAT, "%s: key %s: kind %" PRIu32 "; 0..12 are known", path,
                       gguf_printable(k->name).text, (uint32_t)k->kind);
    }
    if (st || !r->failed) return st;
cut:
    return pl_fail(err, PL_E_FORMAT, "%s: ends inside key %" PRIu64 " (%s)", path, i,
                   gguf_printable(k->name).text);
}

static pl_status read_dims(struct reader *r, struct gguf_tensor *t, uint64_t *n_weights,
                           const char *path, pl_err *err)
{
    *n_weights = 1;
    for (uint32_t d = 0; d < GGUF_MAX_DIMS; d++) t->dim[d] = 1;
    for (uint32_t d = 0; d < t->n_dims && !r->failed; d++) {
        t->dim[d] = read_u64(r);
        if (r->failed) break;
        if (t->dim[d] == 0 || t->dim[d] > (uint64_t)INT64_MAX / *n_weights)
            return pl_fail(err, PL_E_FORMAT, "%s: tensor %s: dimension %" PRIu32 " is %" PRIu64
                           "; at least 1, with a product within 63 bits, is wanted", path,
                           gguf_printable(t->name).text, d, t->dim[d]);
        *n_weights *= t->dim[d];
    }
    return PL_OK;
}

/* Type, dimensions and size of tensor i, and where in the data it says it lies. */
static pl_status read_tensor(struct reader *r, struct gguf_tensor *t, uint64_t *offset, uint64_t i,
                             const char *path, pl_err *err)
{
    uint64_t n_weights;
    t->name = read_string(r);
    t->n_dims = read_u32(r);
    const struct printable name = gguf_printable(t->name);
    if (!r->failed && !is_good_name(t->name))
        return pl_fail(err, PL_E_FORMAT, "%s: tensor %" PRIu64 " has a name of %zu bytes; 1..%d "
                       "without zero bytes are wanted", path, i, t->name.n, MAX_NAME_BYTES);
    if (!r->failed && (t->n_dims < 1 || t->n_dims > GGUF_MAX_DIMS))
        return pl_fail(err, PL_E_FORMAT, "%s: tensor %s has %" PRIu32 " dimensions; 1..%d are "
                       "wanted", path, name.text, t->n_dims, GGUF_MAX_DIMS);
    pl_status st = read_dims(r, t, &n_weights, path, err);
    if (st) return st;
    t->type = read_u32(r);
    *offset = read_u64(r);
    if (r->failed)
        return pl_fail(err, PL_E_FORMAT, "%s: ends inside tensor %" PRIu64 " (%s)", path, i,
                       name.text);

    const struct quant_traits *traits = quant_traits(t->type);
    if (!traits->name)
        return pl_fail(err, PL_E_UNSUPPORTED,
                       "%s: tensor %s is of type %" PRIu32 ", %s, which this version does not run; "
                       "use a %s file of the same model", path, name.text, t->type,
                       quant_type_name(t->type), quant_instead_of(t->type));
    if (t->dim[0] % traits->block_weights)
        return pl_fail(err, PL_E_FORMAT, "%s: tensor %s: rows of %" PRIu64 " weights of type %s; "
                       "a multiple of %" PRIu32 " is wanted", path, name.text, t->dim[0],
                       traits->name, traits->block_weights);
    const uint64_t n_blocks = n_weights / traits->block_weights;
    if (n_blocks > (uint64_t)INT64_MAX / traits->block_bytes)
        return pl_fail(err, PL_E_FORMAT, "%s: tensor %s: %" PRIu64 " weights do not fit a file",
                       path, name.text, n_weights);
    t->n_bytes = (size_t)(n_blocks * traits->block_bytes);
    return PL_OK;
}

static int by_data(const void *a, const void *b)
{
    const struct gguf_tensor *const *x = a, *const *y = b;
    return ((*x)->data > (*y)->data) - ((*x)->data < (*y)->data);
}

static pl_status check_overlap(const struct gguf_tensor *t, uint64_t n, const char *path,
                               pl_err *err)
{
    const struct gguf_tensor **order = malloc((n + 1) * sizeof *order);
    pl_status st = PL_OK;
    if (!order) return pl_fail(err, PL_E_MEMORY, "%s: no memory for %" PRIu64 " tensors", path, n);
    for (uint64_t i = 0; i < n; i++) order[i] = &t[i];
    qsort(order, n, sizeof *order, by_data);
    for (uint64_t i = 1; i < n && !st; i++)
        if (order[i - 1]->data + order[i - 1]->n_bytes > order[i]->data)
            st = pl_fail(err, PL_E_FORMAT, "%s: tensors %s and %s overlap", path,
                         gguf_printable(order[i - 1]->name).text,
                         gguf_printable(order[i]->name).text);
    free(order);
    return st;
}

static pl_status read_alignment(const struct gguf_key *keys, uint64_t n, const char *path,
                                uint64_t *alignment, pl_err *err)
{
    const pl_status st =
        gguf_number_or(keys, n, "general.alignment", DEFAULT_ALIGNMENT, alignment, path, err);
    if (st) return st;
    if (*alignment < 8 || *alignment > MAX_ALIGNMENT || (*alignment & (*alignment - 1)))
        return pl_fail(err, PL_E_FORMAT, "%s: general.alignment is %" PRIu64 "; a power of two "
                       "from 8 to %d is wanted", path, *alignment, MAX_ALIGNMENT);
    return PL_OK;
}

/* Turns offsets into pointers: the data section starts at the next multiple of the alignment. */
static pl_status place_tensors(struct reader *r, struct gguf_tensor *t, const uint64_t *offset,
                               uint64_t n, uint64_t alignment, const char *path, pl_err *err)
{
    const size_t header = (size_t)(r->at - r->start), total = (size_t)(r->end - r->start);
    const size_t data_start = (header + alignment - 1) & ~(size_t)(alignment - 1);
    const size_t data_bytes = total > data_start ? total - data_start : 0;

    for (uint64_t i = 0; i < n; i++) {
        const struct printable name = gguf_printable(t[i].name);
        if (offset[i] % alignment)
            return pl_fail(err, PL_E_FORMAT, "%s: tensor %s lies at %" PRIu64 "; a multiple of %"
                           PRIu64 " is wanted", path, name.text, offset[i], alignment);
        if (offset[i] > data_bytes || t[i].n_bytes > data_bytes - offset[i])
            return pl_fail(err, PL_E_FORMAT, "%s: tensor %s needs %zu bytes from %" PRIu64
                           " of the data; there are %zu (is the file cut short?)", path, name.text,
                           t[i].n_bytes, offset[i], data_bytes);
        t[i].data = r->start + data_start + offset[i];
    }
    return check_overlap(t, n, path, err);
}

static pl_status read_tensors(struct gguf *g, struct reader *r, uint64_t n, uint64_t alignment,
                              const char *path, pl_err *err)
{
    struct gguf_tensor *all = realloc(g->tensor, (g->n_tensors + n + 1) * sizeof *all);
    uint64_t *offset = malloc((n + 1) * sizeof *offset);
    pl_status st = PL_OK;

    if (all) g->tensor = all;
    if (!all || !offset)
        st = pl_fail(err, PL_E_MEMORY, "%s: no memory for %" PRIu64 " tensors", path, n);
    struct gguf_tensor *t = all ? all + g->n_tensors : NULL;
    if (!st) memset(t, 0, (n + 1) * sizeof *t);
    for (uint64_t i = 0; i < n && !st; i++) st = read_tensor(r, &t[i], &offset[i], i, path, err);
    if (!st) st = place_tensors(r, t, offset, n, alignment, path, err);
    if (!st) g->n_tensors += n;
    free(offset);
    return st;
}

pl_status gguf_parse_part(struct gguf *g, uint32_t part, struct gguf_key **keys, uint64_t *n_keys,
                          pl_err *err)
{
    const struct file_map *map = &g->part[part];
    *keys = NULL;
    *n_keys = 0;
    if (map->n_bytes == 0)
        return pl_fail(err, PL_E_FORMAT, "%s: an empty file; a GGUF file is wanted", map->path);
    struct reader r = { map->data, map->data, map->data + map->n_bytes, false };
    uint64_t n_tensors = 0, alignment = 0;
    pl_status st = read_header(&r, map->path, &n_tensors, n_keys, err);
    if (st) return st;
    *keys = calloc(*n_keys + 1, sizeof **keys);
    if (!*keys)
        return pl_fail(err, PL_E_MEMORY, "%s: no memory for %" PRIu64 " keys", map->path, *n_keys);
    for (uint64_t i = 0; i < *n_keys && !st; i++)
        st = read_key(&r, &(*keys)[i], i, map->path, err);
    if (!st) st = gguf_sort_keys(*keys, *n_keys, map->path, err);
    if (!st) st = read_alignment(*keys, *n_keys, map->path, &alignment, err);
    if (!st) st = read_tensors(g, &r, n_tensors, alignment, map->path, err);
    return st;
}
