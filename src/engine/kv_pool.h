/* KV memory in pages of 16 tokens: who holds which page. It counts; the bytes are the backend's.
 *
 * I1  every page is free (no holder, no content worth keeping), cached (no holder, in the prefix
 *     index), or held (n_refs holders, in the index or not)
 * I2  n_free + n_cached + n_held == n_pages; taking prefers free pages, then the cached page that
 *     was released longest ago, of those released _first if there are any; it leaves the index
 * I3  n_reserved <= n_free + n_cached: what admission promised can be had
 * I4  a page that more than one holder has, or that is in the index, is never written: writers
 *     copy it first (copy on write; the scheduler does)
 *
 * Reservations: available = n_free + n_cached - n_reserved. reserve(n) wants n <= available and
 * lowers it by n; unreserve raises it. take turns one reserved page into a held one: both sides of
 * I3 fall by one. Sharing a held page changes nothing; sharing a cached page lowers available by
 * one, just as reserving and taking a page in its place would. A release raises available by one
 * when the last holder leaves.
 *
 * Everything but open, close and audit takes the same time whatever the number of pages, and
 * allocates nothing.
 *
 * Engine thread only. */
#ifndef ENGINE_KV_POOL_H
#define ENGINE_KV_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "engine/prefix_index.h"

struct kv_pool;

pl_status kv_pool_open(struct kv_pool **out, uint32_t n_pages, pl_err *err);
void kv_pool_close(struct kv_pool *pool);

/* Pages that could be reserved now. */
uint32_t kv_pool_n_available(const struct kv_pool *pool);

/* Promises n pages to a later kv_pool_take; false: that many cannot be had. */
bool kv_pool_reserve(struct kv_pool *pool, uint32_t n);
void kv_pool_unreserve(struct kv_pool *pool, uint32_t n);

/* Takes one page out of a reservation: never fails where I3 holds. One holder, not in the index. */
uint32_t kv_pool_take(struct kv_pool *pool);

/* One more holder of a held or cached page. A cached page that becomes held lowers what can be
 * reserved: false where I3 would break. */
bool kv_pool_hold(struct kv_pool *pool, uint32_t page);

/* One holder fewer. The last one leaves the page cached if it is in the index, else free; _first:
 * to be evicted before all those of kv_pool_release. */
void kv_pool_release(struct kv_pool *pool, uint32_t page);
void kv_pool_release_first(struct kv_pool *pool, uint32_t page);

/* One holder, and not in the index. */
bool kv_pool_is_writable(const struct kv_pool *pool, uint32_t page);

/* ---- prefix index: the content of full pages ------------------------------------------------ */

/* The page of this content, or KV_NO_PAGE. tokens are compared too: a collision is no hit. */
int64_t kv_pool_find(const struct kv_pool *pool, struct prefix_key key, const int32_t *tokens);

/* Enters a held, full page that is not in the index; does nothing where its content is there
 * already, in another page (which kv_pool_find names). false: the key is taken by other content, so
 * that the page cannot be entered, and nothing that follows it may be. */
bool kv_pool_enter(struct kv_pool *pool, uint32_t page, struct prefix_key key,
                   const int32_t *tokens);

struct kv_pool_counts {
    uint32_t n_pages, n_free, n_cached, n_held, n_reserved;
    uint64_t n_evicted;         /* cached pages given up since the start */
};

struct kv_pool_counts kv_pool_counts(const struct kv_pool *pool);
uint32_t kv_pool_n_refs(const struct kv_pool *pool, uint32_t page);

/* Bytes taken by kv_pool_open, for the plan: the books, not the KV itself. */
uint64_t kv_pool_bytes(uint32_t n_pages);

/* Checks I1..I3 and the index; NULL, or what is wrong. For tests and the simulator; O(pages). */
const char *kv_pool_audit(const struct kv_pool *pool);

#endif
