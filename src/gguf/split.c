/* Split files: "x-00001-of-00003.gguf" and its brothers. Each part is a GGUF file of its own that says
 * in split.no (from 0) and split.count which part it is; the first one carries the model's keys. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gguf/parse.h"

enum { MAX_PARTS = 1000, MAX_SUFFIX_BYTES = 64 };

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

/* The path of part `to`, made from that of part `from`; NULL: `path` does not end as it should, or
 * there is no memory. The caller frees it. */
static char *part_path(const char *path, uint64_t from, uint64_t to, uint64_t count)
{
    char end[MAX_SUFFIX_BYTES];
    const size_t n = strlen(path);
    const size_t n_end = (size_t)snprintf(end, sizeof end, "-%05" PRIu64 "-of-%05" PRIu64 ".gguf",
                                          from + 1, count);
    if (n < n_end || strcmp(path + n - n_end, end)) return NULL;

    char *other = malloc(n + sizeof end);
    if (!other) return NULL;
    memcpy(other, path, n - n_end);
    snprintf(other + n - n_end, sizeof end, "-%05" PRIu64 "-of-%05" PRIu64 ".gguf", to + 1, count);
    return other;
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static pl_status refuse_later_part(const char *path, const struct gguf_split *split, pl_err *err)
{
    char *first = part_path(path, split->number, 0, split->count);
    const pl_status st =
        pl_fail(err, PL_E_FORMAT, "%s: part %" PRIu64 " of %" PRIu64 "; open %s", path,
                split->number + 1, split->count, first ? file_name(first) : "the first part");
    free(first);
    return st;
}

static pl_status add_other_part(struct gguf *g, uint64_t number, uint64_t count, pl_err *err)
{
    const char *first = g->part[0].path;
    char *path = part_path(first, 0, number, count);
    if (!path)
        return pl_fail(err, PL_E_FORMAT, "%s: the first of %" PRIu64 " parts; a name that ends in "
                       "-00001-of-%05" PRIu64 ".gguf is wanted", first, count, count);

    struct gguf_split its;
    pl_err cause = { 0 };
    pl_status st = gguf_add_part(g, path, &its, &cause);
    if (st) {
        pl_fail(err, st, "part %" PRIu64 " of %" PRIu64 ": %s", number + 1, count, cause.text);
    } else if (its.number != number || its.count != count) {
        st = pl_fail(err, PL_E_FORMAT, "%s: says it is part %" PRIu64 " of %" PRIu64
                     "; part %" PRIu64 " of %" PRIu64 " is wanted", path, its.number + 1, its.count,
                     number + 1, count);
    }
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
