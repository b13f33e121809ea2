/* Finding keys and tensors by name: binary search over sorted tables. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gguf/parse.h"

static int compare(struct gguf_string a, struct gguf_string b)
{
    const int c = memcmp(a.bytes, b.bytes, a.n < b.n ? a.n : b.n);
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

static int by_key_name(const void *a, const void *b)
{
    return compare(((const struct gguf_key *)a)->name, ((const struct gguf_key *)b)->name);
}

static int by_tensor_name(const void *a, const void *b)
{
    return compare(((const struct gguf_tensor *)a)->name, ((const struct gguf_tensor *)b)->name);
}

pl_status gguf_sort_keys(struct gguf_key *keys, uint64_t n, const char *path, pl_err *err)
{
    qsort(keys, n, sizeof *keys, by_key_name);
    for (uint64_t i = 1; i < n; i++)
        if (!compare(keys[i - 1].name, keys[i].name))
            return pl_fail(err, PL_E_FORMAT, "%s: key %s stands in the file twice", path,
                           gguf_printable(keys[i].name).text);
    return PL_OK;
}

pl_status gguf_sort_tensors(struct gguf *g, pl_err *err)
{
    qsort(g->tensor, g->n_tensors, sizeof *g->tensor, by_tensor_name);
    for (uint64_t i = 1; i < g->n_tensors; i++)
        if (!compare(g->tensor[i - 1].name, g->tensor[i].name))
            return pl_fail(err, PL_E_FORMAT, "%s: tensor %s stands in the file twice",
                           g->part[0].path, gguf_printable(g->tensor[i].name).text);
    return PL_OK;
}

static const struct gguf_key *find_key(const struct gguf_key *keys, uint64_t n, const char *name)
{
    const struct gguf_key wanted = { .name = { name, strlen(name) } };
    return n ? bsearch(&wanted, keys, n, sizeof *keys, by_key_name) : NULL;
}

const struct gguf_tensor *gguf_find(const struct gguf *g, const char *name)
{
    const struct gguf_tensor wanted = { .name = { name, strlen(name) } };
    return g->n_tensors ? bsearch(&wanted, g->tensor, g->n_tensors, sizeof *g->tensor,
                                  by_tensor_name)
                        : NULL;
}

bool gguf_has(const struct gguf *g, const char *key)
{
    return find_key(g->key, g->n_keys, key) != NULL;
}

#define LOAD(type, p) __extension__({ type v_; memcpy(&v_, p, sizeof v_); v_; })

/* An integer of any width as sign and magnitude; false: the key is no integer. */
static bool integer_of(const struct gguf_key *k, bool *is_negative, uint64_t *magnitude)
{
    int64_t v;
    switch (k->kind) {
    case GGUF_U8: *magnitude = *k->data; *is_negative = false; return true;
    case GGUF_U16: *magnitude = LOAD(uint16_t, k->data); *is_negative = false; return true;
    case GGUF_U32: *magnitude = LOAD(uint32_t, k->data); *is_negative = false; return true;
    case GGUF_U64: *magnitude = LOAD(uint64_t, k->data); *is_negative = false; return true;
    case GGUF_I8: v = LOAD(int8_t, k->data); break;
    case GGUF_I16: v = LOAD(int16_t, k->data); break;
    case GGUF_I32: v = LOAD(int32_t, k->data); break;
    case GGUF_I64: v = LOAD(int64_t, k->data); break;
    default: return false;
    }
    *is_negative = v < 0;
    *magnitude = v < 0 ? -(uint64_t)v : (uint64_t)v;
    return true;
}

static const char *kind_name(enum gguf_kind kind)
{
    static const char *const names[] = { "u8", "i8", "u16", "i16", "u32", "i32", "f32", "a boolean",
                                         "a string", "an array", "u64", "i64", "f64" };
    return names[kind];
}

static pl_status get(const struct gguf *g, const char *name, const struct gguf_key **out,
                     pl_err *err)
{
    *out = find_key(g->key, g->n_keys, name);
    if (!*out) return pl_fail(err, PL_E_FORMAT, "%s: key %s is missing", g->part[0].path, name);
    return PL_OK;
}

static pl_status wrong_kind(const char *path, const struct gguf_key *k, const char *wanted,
                            pl_err *err)
{
    return pl_fail(err, PL_E_FORMAT, "%s: key %s is %s; %s is wanted", path,
                   gguf_printable(k->name).text, kind_name(k->kind), wanted);
}

static pl_status number_of(const struct gguf_key *k, uint64_t *out, const char *path, pl_err *err)
{
    bool is_negative;
    uint64_t magnitude;
    if (!integer_of(k, &is_negative, &magnitude)) return wrong_kind(path, k, "an integer", err);
    if (is_negative)
        return pl_fail(err, PL_E_FORMAT, "%s: key %s is -%" PRIu64 "; at least 0 is wanted", path,
                       gguf_printable(k->name).text, magnitude);
    *out = magnitude;
    return PL_OK;
}

pl_status gguf_number_or(const struct gguf_key *keys, uint64_t n, const char *name,
                         uint64_t otherwise, uint64_t *out, const char *path, pl_err *err)
{
    const struct gguf_key *k = find_key(keys, n, name);
    *out = otherwise;
    return k ? number_of(k, out, path, err) : PL_OK;
}

pl_status gguf_u64(const struct gguf *g, const char *key, uint64_t *out, pl_err *err)
{
    const struct gguf_key *k;
    const pl_status st = get(g, key, &k, err);
    return st ? st : number_of(k, out, g->part[0].path, err);
}

pl_status gguf_u32(const struct gguf *g, const char *key, uint32_t *out, pl_err *err)
{
    uint64_t v = 0;
    const pl_status st = gguf_u64(g, key, &v, err);
    if (st) return st;
    if (v > UINT32_MAX)
        return pl_fail(err, PL_E_FORMAT, "%s: key %s is %" PRIu64 "; at most %" PRIu32 " is wanted",
                       g->part[0].path, key, v, UINT32_MAX);
    *out = (uint32_t)v;
    return PL_OK;
}

pl_status gguf_f32(const struct gguf *g, const char *key, float *out, pl_err *err)
{
    const struct gguf_key *k;
    const pl_status st = get(g, key, &k, err);
    if (st) return st;
    if (k->kind == GGUF_F32) *out = LOAD(float, k->data);
    else if (k->kind == GGUF_F64) *out = (float)LOAD(double, k->data);
    else return wrong_kind(g->part[0].path, k, "a float", err);
    if (!isfinite(*out))
        return pl_fail(err, PL_E_FORMAT, "%s: key %s is not a finite number", g->part[0].path, key);
    return PL_OK;
}

pl_status gguf_bool(const struct gguf *g, const char *key, bool *out, pl_err *err)
{
    const struct gguf_key *k;
    const pl_status st = get(g, key, &k, err);
    if (st) return st;
    if (k->kind != GGUF_BOOL) return wrong_kind(g->part[0].path, k, "a boolean", err);
    *out = *k->data;
    return PL_OK;
}

pl_status gguf_string(const struct gguf *g, const char *key, struct gguf_string *out, pl_err *err)
{
    const struct gguf_key *k;
    const pl_status st = get(g, key, &k, err);
    if (st) return st;
    if (k->kind != GGUF_STRING) return wrong_kind(g->part[0].path, k, "a string", err);
    const uint8_t *at = k->data;
    *out = gguf_next_string(&at);
    return PL_OK;
}

pl_status gguf_array(const struct gguf *g, const char *key, enum gguf_kind kind,
                     struct gguf_array *out, pl_err *err)
{
    const struct gguf_key *k;
    const pl_status st = get(g, key, &k, err);
    if (st) return st;
    if (k->kind != GGUF_ARRAY) return wrong_kind(g->part[0].path, k, "an array", err);
    if (k->array.kind != kind)
        return pl_fail(err, PL_E_FORMAT, "%s: key %s is an array of %s; of %s is wanted",
                       g->part[0].path, key, kind_name(k->array.kind), kind_name(kind));
    *out = k->array;
    return PL_OK;
}

pl_status gguf_u32_or(const struct gguf *g, const char *key, uint32_t otherwise, uint32_t *out,
                      pl_err *err)
{
    *out = otherwise;
    return gguf_has(g, key) ? gguf_u32(g, key, out, err) : PL_OK;
}

pl_status gguf_f32_or(const struct gguf *g, const char *key, float otherwise, float *out,
                      pl_err *err)
{
    *out = otherwise;
    return gguf_has(g, key) ? gguf_f32(g, key, out, err) : PL_OK;
}

pl_status gguf_bool_or(const struct gguf *g, const char *key, bool otherwise, bool *out,
                       pl_err *err)
{
    *out = otherwise;
    return gguf_has(g, key) ? gguf_bool(g, key, out, err) : PL_OK;
}

struct gguf_string gguf_next_string(const uint8_t **at)
{
    const uint64_t n = LOAD(uint64_t, *at);
    const struct gguf_string s = { (const char *)*at + sizeof n, (size_t)n };
    *at += sizeof n + n;
    return s;
}

int32_t gguf_array_i32(const struct gguf_array *a, uint64_t i)
{
    return LOAD(int32_t, a->data + i * sizeof(int32_t));
}

float gguf_array_f32(const struct gguf_array *a, uint64_t i)
{
    return LOAD(float, a->data + i * sizeof(float));
}
