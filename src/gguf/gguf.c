/* Opening a model file: its parts, then one table of keys and one of tensors over all of them. */
#include "gguf/gguf.h"

#include <inttypes.h>
#include <stdlib.h>

#include "gguf/parse.h"

pl_status gguf_add_part(struct gguf *g, const char *path, struct gguf_split *split, pl_err *err)
{
    struct gguf_key *keys = NULL;
    uint64_t n_keys = 0;
    struct file_map *parts = realloc(g->part, (g->n_parts + 1) * sizeof *parts);
    if (!parts) return pl_fail(err, PL_E_MEMORY, "%s: no memory for one more part", path);
    g->part = parts;

    pl_status st = file_map_open(&g->part[g->n_parts], path, err);
    if (st) return st;
    const uint32_t part = g->n_parts++;
    g->file_bytes += g->part[part].n_bytes;
    st = gguf_parse_part(g, part, &keys, &n_keys, err);
    if (!st) st = gguf_read_split(keys, n_keys, path, split, err);
    if (part > 0) {
        free(keys);
    } else {
        g->key = keys;
        g->n_keys = n_keys;
    }
    return st;
}

pl_status gguf_open(struct gguf *g, const char *path, pl_err *err)
{
    struct gguf_split split = { 0 };
    *g = (struct gguf){ 0 };    /* zeroed is closed: gguf_close is safe from here on */

    pl_status st = gguf_add_part(g, path, &split, err);
    if (!st) st = gguf_add_other_parts(g, &split, err);
    if (!st) st = gguf_sort_tensors(g, err);
    if (!st && split.has_n_tensors && split.n_tensors != g->n_tensors)
        st = pl_fail(err, PL_E_FORMAT, "%s: %" PRIu32 " parts hold %" PRIu64 " tensors; %" PRIu64
                     " are wanted (split.tensors.count)", path, g->n_parts, g->n_tensors,
                     split.n_tensors);
    if (st) gguf_close(g);
    return st;
}

void gguf_close(struct gguf *g)
{
    for (uint32_t i = 0; i < g->n_parts; i++) file_map_close(&g->part[i]);
    gguf_free_overrides(g);
    free(g->part);
    free(g->key);
    free(g->tensor);
    *g = (struct gguf){ 0 };
}

void gguf_drop_pages(const struct gguf *g)
{
    for (uint32_t i = 0; i < g->n_parts; i++) file_map_drop_pages(&g->part[i]);
}
