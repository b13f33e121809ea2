/* Split files: "x-00001-of-00003.gguf" and its brothers. Each part is a GGUF file of its own that
 * says in split.no (from 0) and split.count which part it is; the first has the model's keys. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gguf/parse.h"

enum { MAX_PARTS = 1000 };

pl_status gguf_read_split(const struct gguf_key *keys, uint64_t n_keys, const char *path,
                          struct gguf_split *out, pl_err *err)
{
    *out = (struct gguf_split){ 0 };
    pl_status st = gguf_number_or(keys, n_keys, "split.no", 0, &out->number, path, err);
    if (!st) st = gguf_number_or(keys, n_keys, "split.count", 1, &out->count, path, err);
    if (!st)
        st = gguf_number_or(keys, n_keys, "split.tensors.count", UINT64_MAX, &out->n_tensors, path,
                            err);
    if (st) return st;
    out->has_n_tensors = out->n_tensors != UINT64_MAX;
    if (out->count == 0) out->count = 1;    /* what merging the parts into one file leaves behind */
    if (out->count > MAX_PARTS)
        return pl_fail(err, PL_E_FORMAT, "%s: split.count is %" PRIu64 "; at most %d is wanted",
                       path, out->count, MAX_PARTS);
    if (out->number >= out->count)
        return pl_fail(err, PL_E_FORMAT, "%s: split.no is %" PRIu64 " of %" PRIu64 " parts", path,
                       out->number, out->count);
    return PL_OK;
}

/* The end of the name of part `number`, counted from 0. */
struct suffix {
    char text[64];
};
static struct suffix part_suffix(uint64_t number, uint64_t count)
{
    struct suffix s;
    snprintf(s.text, sizeof s.text, "-%05" PRIu64 "-of-%05" PRIu64 ".gguf", number + 1, count);
    return s;
}

/* Bytes of the path before the suffix of a part, or 0 where it does not end in that. */
static size_t stem_bytes(const char *path, struct suffix suffix)
{
    const size_t n = strlen(path), n_suffix = strlen(suffix.text);
    return n > n_suffix && strcmp(path + n - n_suffix, suffix.text) == 0 ? n - n_suffix : 0;
}

static pl_status refuse_later_part(const char *path, const struct gguf_split *split, pl_err *err)
{
    const size_t n = stem_bytes(path, part_suffix(split->number, split->count));
    size_t name = n;            /* where the file's name starts: the path itself was said already */
    while (name > 0 && path[name - 1] != '/') name--;
    return pl_fail(err, PL_E_FORMAT, "%s: part %" PRIu64 " of %" PRIu64 "; open %.*s%s", path,
                   split->number + 1, split->count, (int)(n - name), path + name,
                   n ? part_suffix(0, split->count).text : "the first part");
}

/* Opens the part at `path` and checks that it is what its place calls for. */
static pl_status add_checked(struct gguf *g, const char *path, uint64_t number, uint64_t count,
                             pl_err *err)
{
    struct gguf_split its;
    pl_err cause = { 0 };
    const pl_status st = gguf_add_part(g, path, &its, &cause);
    if (st)
        return pl_fail(err, st, "part %" PRIu64 " of %" PRIu64 ": %s", number + 1, count,
                       cause.text);
    if (its.number != number || its.count != count)
        return pl_fail(err, PL_E_FORMAT, "%s: says it is part %" PRIu64 " of %" PRIu64
                       "; part %" PRIu64 " of %" PRIu64 " is wanted", path, its.number + 1,
                       its.count, number + 1, count);
    return PL_OK;
}

static pl_status add_other_part(struct gguf *g, uint64_t number, uint64_t count, pl_err *err)
{
    const char *first = g->part[0].path;
    const struct suffix suffix = part_suffix(number, count);
    const size_t n = stem_bytes(first, part_suffix(0, count));
    if (!n)
        return pl_fail(err, PL_E_FORMAT, "%s: the first of %" PRIu64 " parts; a name that ends in "
                       "-00001-of-%05" PRIu64 ".gguf is wanted", first, count, count);

    char *path = malloc(n + sizeof suffix.text);
    if (!path) return pl_fail(err, PL_E_MEMORY, "%s: no memory for a part's path", first);
    memcpy(path, first, n);
    strcpy(path + n, suffix.text);
    const pl_status st = add_checked(g, path, number, count, err);
    free(path);
    return st;
}

pl_status gguf_add_other_parts(struct gguf *g, const struct gguf_split *split, pl_err *err)
{
    pl_status st = PL_OK;
    if (split->number != 0) return refuse_later_part(g->part[0].path, split, err);
    for (uint64_t i = 1; i < split->count && !st; i++)
        st = add_other_part(g, i, split->count, err);
    return st;
}
