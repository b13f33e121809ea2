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

const struct gguf_key *gguf_find_key(const struct gguf *g, const char *name)
{
    return find_key(g->key, g->n_keys, name);
}

static pl_status get(const struct gguf *g, const char *name, const struct gguf_key **out,
                     pl_err *err)
{
    *out = find_key(g->key, g->n_keys, name);
    if (!*out) return pl_fail(err, PL_E_FORMAT, "%s: key %s is missing", g->part[0].path, name);
    return PL_OK;
}

static pl_status number_of(const struct gguf_key *k, uint64_t *out, const char *path, pl_err *err)
{
    bool is_negative;
    uint64_t magnitude;
    if (!gguf_integer_at(k->kind, k->data, &is_negative, &magnitude))
         return gguf_wrong_kind(path, k, "an integer", err);
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

pl_status gguf_i64(const struct gguf *g, const char *key, int64_t *out, pl_err *err)
{
    const struct gguf_key *k;
    bool is_negative;
    uint64_t magnitude;
    const pl_status st = get(g, key, &k, err);
    if (st) return st;
    if (!gguf_integer_at(k->kind, k->data, &is_negative, &magnitude))
        return gguf_wrong_kind(g->part[0].path, k, "an integer", err);
    if (!is_negative && magnitude > INT64_MAX) magnitude = INT64_MAX;
    *out = is_negative ? (int64_t)-magnitude : (int64_t)magnitude;
    return PL_OK;
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
    bool is_negative;
    uint64_t magnitude;
    if (k->kind == GGUF_F32) *out = LOAD(float, k->data);
    else if (k->kind == GGUF_F64) *out = (float)LOAD(double, k->data);
    else if (gguf_integer_at(k->kind, k->data, &is_negative, &magnitude))
        *out = is_negative ? -(float)magnitude : (float)magnitude;
    else if (k->kind == GGUF_BOOL) *out = *k->data;
    else return gguf_wrong_kind(g->part[0].path, k, "a float", err);
    if (!isfinite(*out))
        return pl_fail(err, PL_E_FORMAT, "%s: key %s is not a finite number", g->part[0].path, key);
    return PL_OK;
}

pl_status gguf_bool(const struct gguf *g, const char *key, bool *out, pl_err *err)
{
    const struct gguf_key *k;
    const pl_status st = get(g, key, &k, err);
    if (st) return st;
    bool is_negative;
    uint64_t magnitude;
    if (k->kind == GGUF_BOOL)
        *out = *k->data;
    else if (gguf_integer_at(k->kind, k->data, &is_negative, &magnitude) &&
             magnitude <= !is_negative)
        *out = magnitude;
    else
        return gguf_wrong_kind(g->part[0].path, k, "a boolean", err);
    return PL_OK;
}

pl_status gguf_string(const struct gguf *g, const char *key, struct gguf_string *out, pl_err *err)
{
    const struct gguf_key *k;
    const pl_status st = get(g, key, &k, err);
    if (st) return st;
    if (k->kind != GGUF_STRING) return gguf_wrong_kind(g->part[0].path, k, "a string", err);
    const uint8_t *at = k->data;
    *out = gguf_next_string(&at);
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
