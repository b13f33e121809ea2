/* The prefix index of kv_pool: from content to page.
 *
 * An open-addressing table of page numbers, linear probing, at most half full, sized once; entries
 * are deleted by moving later ones back, so that there are no tombstones and a long-running server
 * probes as little as a fresh one. What a page holds is kept beside the table, one record a page.
 *
 * I1  a key is in the table once
 * I2  a hit has the same key and the same tokens; prefix_key_next is a bijection of the key before
 *     for given tokens, so the key before is the same too
 *
 * So a search that goes page by page from the start meets different content of the same key at the
 * first page that differs, and stops there. A page whose key is taken by other content is refused,
 * and its owner enters nothing that follows it. What is left to chance: that a page is evicted
 * before the pages that followed it (owners release the last page first) and that another prefix
 * of the same 128 bits then takes its place.
 *
 * Engine thread only. */
#ifndef ENGINE_PREFIX_INDEX_H
#define ENGINE_PREFIX_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/backend.h"
#include "base/status.h"

enum { KV_NO_PAGE = -1 };

/* Names the content of a page and of all pages before it: 128 bits of a chained hash. */
struct prefix_key {
    uint64_t bits[2];
};

/* The key of the page that follows `before` (zero for the first page) and holds `tokens`. */
struct prefix_key prefix_key_next(struct prefix_key before, const int32_t *tokens);

struct prefix_entry {
    struct prefix_key key;
    int32_t token[PAGE_TOKENS];
};

struct prefix_index {
    uint32_t *table;            /* (mask + 1) page + 1; 0: empty */
    struct prefix_entry *entry; /* (n_pages) what an entered page holds */
    uint64_t mask;
    uint32_t n_pages, n_entered;
};

pl_status prefix_index_open(struct prefix_index *x, uint32_t n_pages, pl_err *err);
void prefix_index_close(struct prefix_index *x);
uint64_t prefix_index_bytes(uint32_t n_pages);

/* The page, or KV_NO_PAGE. */
int64_t prefix_index_find(const struct prefix_index *x, struct prefix_key key,
                          const int32_t *tokens);

enum prefix_added { PREFIX_ADDED, PREFIX_PRESENT, PREFIX_COLLISION };

enum prefix_added prefix_index_add(struct prefix_index *x, uint32_t page, struct prefix_key key,
                                   const int32_t *tokens);

/* The page must be in the table. */
void prefix_index_remove(struct prefix_index *x, uint32_t page);

/* Every entry is found by its own key: NULL, or what is wrong. */
const char *prefix_index_audit(const struct prefix_index *x);

#endif
