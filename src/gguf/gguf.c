/* Opening a model file: its parts, then one table of keys and one of tensors over all of them. */
#include "gguf/gguf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gguf/parse.h"

enum { MAX_PARTS = 1000, SUFFIX_CHARS = 20 };   /* "-00001-of-00005.gguf" */

static pl_status add_part(struct gguf *g, const char *path, pl_err *err)
{
    struct file_map *parts = realloc(g->part, (g->n_parts + 1) * sizeof *parts);
    if (!parts) return pl_fail(err, PL_E_MEMORY, "%s: out of memory", path);
    g->part = parts;
    const pl_status st = file_map_open(&g->part[g->n_parts], path, err);
    if (st) return st;
    g->file_bytes += g->part[g->n_parts++].n_bytes;
    return PL_OK;
}

/* Parses the newest part; its keys stay with g for the first part and are dropped for others. */
static pl_status parse_newest(struct gguf *g, uint64_t *number, uint64_t *count, pl_err *err)
{
    struct gguf_key *keys;
    uint64_t n_keys;
    const uint32_t part = g->n_parts - 1;
    const pl_status st = gguf_parse_part(g, part, &keys, &n_keys, err);
    if (!st) {
        *number = gguf_find_number(keys, n_keys, "split.no", 0);
        *count = gguf_find_number(keys, n_keys, "split.count", 1);
    }
    if (st || part > 0) {
        free(keys);
    } else {
        g->key = keys;
        g->n_keys = n_keys;
    }
    return st;
}

/* "x-00001-of-00005.gguf" -> "x-00003-of-00005.gguf"; false: the path does not end like that. */
static bool part_path(char *path, const char *first, uint64_t number, uint64_t count)
{
    const size_t n = strlen(first);
    char end[64];
    snprintf(end, sizeof end, "-%05d-of-%05" PRIu64 ".gguf", 1, count);
    if (n < SUFFIX_CHARS || strcmp(first + n - SUFFIX_CHARS, end)) return false;
    snprintf(end, sizeof end, "-%05" PRIu64 "-of-%05" PRIu64 ".gguf", number + 1, count);
    memcpy(path, first, n - SUFFIX_CHARS);
    strcpy(path + n - SUFFIX_CHARS, end);
    return true;
}

static pl_status open_other_parts(struct gguf *g, uint64_t count, pl_err *err)
{
    const char *first = g->part[0].path;
    char *path = malloc(strlen(first) + 64);
    pl_status st = path ? PL_OK : pl_fail(err, PL_E_MEMORY, "%s: out of memory", first);

    for (uint64_t i = 1; i < count && !st; i++) {
        uint64_t number = 0, its_count = 0;
        first = g->part[0].path;
        if (!part_path(path, first, i, count))
            st = pl_fail(err, PL_E_FORMAT, "%s: the first of %" PRIu64 " parts; its name has to "
                         "end in -00001-of-%05" PRIu64 ".gguf", first, count, count);
        if (!st) st = add_part(g, path, err);
        if (!st) st = parse_newest(g, &number, &its_count, err);
        if (!st && (number != i || its_count != count))
            st = pl_fail(err, PL_E_FORMAT, "%s: says it is part %" PRIu64 " of %" PRIu64
                         "; part %" PRIu64 " of %" PRIu64 " is wanted", path, number + 1, its_count,
                         i + 1, count);
    }
    free(path);
    return st;
}

static pl_status check_tensor_count(const struct gguf *g, pl_err *err)
{
    const uint64_t wanted =
        gguf_find_number(g->key, g->n_keys, "split.tensors.count", g->n_tensors);
    if (wanted != g->n_tensors)
        return pl_fail(err, PL_E_FORMAT, "%s: %" PRIu32 " parts hold %" PRIu64 " tensors; %" PRIu64
                       " are wanted", g->part[0].path, g->n_parts, g->n_tensors, wanted);
    return PL_OK;
}

pl_status gguf_open(struct gguf *g, const char *path, pl_err *err)
{
    uint64_t number = 0, count = 1;
    *g = (struct gguf){ 0 };

    pl_status st = add_part(g, path, err);
    if (!st) st = parse_newest(g, &number, &count, err);
    if (!st && number != 0)
        st = pl_fail(err, PL_E_FORMAT, "%s: part %" PRIu64 " of %" PRIu64 "; open the first part",
                     path, number + 1, count);
    if (!st && (count < 1 || count > MAX_PARTS))
        st = pl_fail(err, PL_E_FORMAT, "%s: split.count is %" PRIu64 "; 1..%d is wanted", path,
                     count, MAX_PARTS);
    if (!st) st = open_other_parts(g, count, err);
    if (!st) st = gguf_sort_tensors(g, err);
    if (!st) st = check_tensor_count(g, err);
    if (st) gguf_close(g);
    return st;
}

void gguf_close(struct gguf *g)
{
    for (uint32_t i = 0; i < g->n_parts; i++) file_map_close(&g->part[i]);
    free(g->part);
    free(g->key);
    free(g->tensor);
    *g = (struct gguf){ 0 };
}

void gguf_drop_pages(const struct gguf *g)
{
    for (uint32_t i = 0; i < g->n_parts; i++) file_map_drop_pages(&g->part[i]);
}
