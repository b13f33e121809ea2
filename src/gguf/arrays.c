/* Arrays among the keys, and numbers that may come as one. */
#include <inttypes.h>
#include <string.h>

#include "gguf/parse.h"

bool gguf_has_array(const struct gguf *g, const char *key)
{
    const struct gguf_key *k = gguf_find_key(g, key);
    return k && k->kind == GGUF_ARRAY;
}

static pl_status get_array(const struct gguf *g, const char *key, struct gguf_array *out,
                           pl_err *err)
{
    const struct gguf_key *k = gguf_find_key(g, key);
    if (!k) return pl_fail(err, PL_E_FORMAT, "%s: key %s is missing", g->part[0].path, key);
    if (k->kind != GGUF_ARRAY) return gguf_wrong_kind(g->part[0].path, k, "an array", err);
    *out = k->array;
    return PL_OK;
}

static pl_status wrong_elements(const struct gguf *g, const char *key, enum gguf_kind found,
                                const char *wanted, pl_err *err)
{
    return pl_fail(err, PL_E_FORMAT, "%s: key %s is an array of %s; of %s is wanted",
                   g->part[0].path, key, gguf_kind_name(found), wanted);
}

pl_status gguf_array(const struct gguf *g, const char *key, enum gguf_kind kind,
                     struct gguf_array *out, pl_err *err)
{
    const pl_status st = get_array(g, key, out, err);
    if (st || out->kind == kind) return st;
    return wrong_elements(g, key, out->kind, gguf_kind_name(kind), err);
}

static bool is_integer(enum gguf_kind kind)
{
    return kind != GGUF_F32 && kind != GGUF_F64 && kind != GGUF_STRING;
}

pl_status gguf_integers(const struct gguf *g, const char *key, struct gguf_array *out, pl_err *err)
{
    const pl_status st = get_array(g, key, out, err);
    return st || is_integer(out->kind) ? st : wrong_elements(g, key, out->kind, "integers", err);
}

pl_status gguf_floats(const struct gguf *g, const char *key, struct gguf_array *out, pl_err *err)
{
    const pl_status st = get_array(g, key, out, err);
    return st || out->kind == GGUF_F32 || out->kind == GGUF_F64
               ? st
               : wrong_elements(g, key, out->kind, "floats", err);
}

int64_t gguf_array_integer(const struct gguf_array *a, uint64_t i)
{
    const uint8_t *at = a->data + i * gguf_kind_bytes(a->kind);
    bool is_negative;
    uint64_t magnitude;
    if (!gguf_integer_at(a->kind, at, &is_negative, &magnitude)) return *at;     /* a boolean */
    if (is_negative) return (int64_t)-magnitude;
    return magnitude > INT64_MAX ? INT64_MAX : (int64_t)magnitude;
}

float gguf_array_float(const struct gguf_array *a, uint64_t i)
{
    return a->kind == GGUF_F64 ? (float)LOAD(double, a->data + i * sizeof(double))
                               : LOAD(float, a->data + i * sizeof(float));
}

pl_status gguf_u32_of_layers(const struct gguf *g, const char *key, uint32_t n, uint32_t *out,
                             pl_err *err)
{
    struct gguf_array a = { 0 };
    if (!gguf_has_array(g, key)) return gguf_u32(g, key, out, err);
    const pl_status st = gguf_integers(g, key, &a, err);
    if (st) return st;
    if (a.n != n)
        return pl_fail(err, PL_E_FORMAT, "%s: key %s is an array of %" PRIu64 " numbers; one or %"
                       PRIu32 ", one a layer, are wanted", g->part[0].path, key, a.n, n);
    const int64_t first = n ? gguf_array_integer(&a, 0) : 0;
    for (uint64_t i = 1; i < n; i++) {
        const int64_t other = gguf_array_integer(&a, i);
        if (other != first)
            return pl_fail(err, PL_E_UNSUPPORTED,
                           "%s: key %s is %" PRId64 " in layer 0 and %" PRId64
                           " in layer %" PRIu64 "; numbers that differ from layer to layer are not "
                           "supported", g->part[0].path, key, first, other, i);
    }
    if (first < 0 || first > UINT32_MAX)
        return pl_fail(err, PL_E_FORMAT, "%s: key %s is %" PRId64 "; 0 to %" PRIu32 " is wanted",
                       g->part[0].path, key, first, UINT32_MAX);
    *out = (uint32_t)first;
    return PL_OK;
}
