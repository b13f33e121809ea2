#include "engine/kv_pool.h"

#include <assert.h>
#include <stdlib.h>

#include "engine/prefix_index.h"

enum { NO_LINK = UINT32_MAX };

/* Free and cached pages hang in lists, linked by page number; a held page is in none. */
struct page {
    uint32_t n_refs;
    uint32_t next, previous;    /* of a list of cached ones; free pages use next alone */
    bool is_indexed;
    bool goes_first;            /* cached: in which list */
};

/* By the time of their release. */
struct page_list {
    uint32_t oldest, newest;
};

struct kv_pool {
    struct kv_pool_counts counts;
    uint32_t first_free;        /* a stack: the page used last is the warmest */
    struct page_list cached[2]; /* [1]: those that go first */
    struct page *page;          /* (n_pages) */
    struct prefix_index index;
};

uint64_t kv_pool_bytes(uint32_t n_pages)
{
    return sizeof(struct kv_pool) + n_pages * sizeof(struct page) + prefix_index_bytes(n_pages);
}

pl_status kv_pool_open(struct kv_pool **out, uint32_t n_pages, pl_err *err)
{
    *out = NULL;
    if (n_pages == 0 || n_pages > INT32_MAX)
        return pl_fail(err, PL_E_PARAM, "%u KV pages; wanted 1 to %d", n_pages, INT32_MAX);

    struct kv_pool *pool = calloc(1, sizeof *pool);
    if (pool) pool->page = calloc(n_pages, sizeof *pool->page);
    pl_status st = PL_OK;
    if (!pool || !pool->page)
        st = pl_fail(err, PL_E_MEMORY, "no %llu bytes for the books of %u KV pages",
                     (unsigned long long)kv_pool_bytes(n_pages), n_pages);
    if (!st) st = prefix_index_open(&pool->index, n_pages, err);
    if (st) {
        kv_pool_close(pool);
        return st;
    }
    pool->counts.n_pages = pool->counts.n_free = n_pages;
    pool->cached[0] = pool->cached[1] = (struct page_list){ NO_LINK, NO_LINK };
    for (uint32_t i = 0; i < n_pages; i++) pool->page[i].next = i + 1 < n_pages ? i + 1 : NO_LINK;
    *out = pool;
    return PL_OK;
}

void kv_pool_close(struct kv_pool *pool)
{
    if (!pool) return;
    prefix_index_close(&pool->index);
    free(pool->page);
    free(pool);
}

uint32_t kv_pool_n_available(const struct kv_pool *pool)
{
    return pool->counts.n_free + pool->counts.n_cached - pool->counts.n_reserved;
}

bool kv_pool_reserve(struct kv_pool *pool, uint32_t n)
{
    if (n > kv_pool_n_available(pool)) return false;
    pool->counts.n_reserved += n;
    return true;
}

void kv_pool_unreserve(struct kv_pool *pool, uint32_t n)
{
    assert(n <= pool->counts.n_reserved);
    pool->counts.n_reserved -= n;
}

static void push_free(struct kv_pool *pool, uint32_t page)
{
    pool->page[page].next = pool->first_free;
    pool->first_free = page;
    pool->counts.n_free++;
}

static uint32_t pop_free(struct kv_pool *pool)
{
    const uint32_t page = pool->first_free;
    pool->first_free = pool->page[page].next;
    pool->counts.n_free--;
    return page;
}

static void append_cached(struct kv_pool *pool, uint32_t page, bool goes_first)
{
    struct page_list *list = &pool->cached[goes_first];
    pool->page[page].goes_first = goes_first;
    pool->page[page].next = NO_LINK;
    pool->page[page].previous = list->newest;
    if (list->newest == NO_LINK)
        list->oldest = page;
    else
        pool->page[list->newest].next = page;
    list->newest = page;
    pool->counts.n_cached++;
}

static void unlink_cached(struct kv_pool *pool, uint32_t page)
{
    const struct page *p = &pool->page[page];
    struct page_list *list = &pool->cached[p->goes_first];
    if (p->previous == NO_LINK)
        list->oldest = p->next;
    else
        pool->page[p->previous].next = p->next;
    if (p->next == NO_LINK)
        list->newest = p->previous;
    else
        pool->page[p->next].previous = p->previous;
    pool->counts.n_cached--;
}

static uint32_t evict_oldest(struct kv_pool *pool)
{
    const uint32_t first = pool->cached[1].oldest;
    const uint32_t page = first != NO_LINK ? first : pool->cached[0].oldest;
    unlink_cached(pool, page);
    prefix_index_remove(&pool->index, page);
    pool->page[page].is_indexed = false;
    pool->counts.n_evicted++;
    return page;
}

uint32_t kv_pool_take(struct kv_pool *pool)
{
    assert(pool->counts.n_reserved > 0);
    const uint32_t page = pool->counts.n_free ? pop_free(pool) : evict_oldest(pool);
    pool->page[page].n_refs = 1;
    pool->counts.n_reserved--;
    pool->counts.n_held++;
    return page;
}

bool kv_pool_hold(struct kv_pool *pool, uint32_t page)
{
    struct page *p = &pool->page[page];
    assert(page < pool->counts.n_pages && (p->n_refs || p->is_indexed));

    if (p->n_refs == 0) {
        if (kv_pool_n_available(pool) == 0) return false;
        unlink_cached(pool, page);
        pool->counts.n_held++;
    }
    p->n_refs++;
    return true;
}

static void release(struct kv_pool *pool, uint32_t page, bool goes_first)
{
    struct page *p = &pool->page[page];
    assert(page < pool->counts.n_pages && p->n_refs > 0);

    if (--p->n_refs) return;
    pool->counts.n_held--;
    if (p->is_indexed)
        append_cached(pool, page, goes_first);
    else
        push_free(pool, page);
}

void kv_pool_release(struct kv_pool *pool, uint32_t page)
{
    release(pool, page, false);
}

void kv_pool_release_first(struct kv_pool *pool, uint32_t page)
{
    release(pool, page, true);
}

bool kv_pool_is_writable(const struct kv_pool *pool, uint32_t page)
{
    return pool->page[page].n_refs == 1 && !pool->page[page].is_indexed;
}

int64_t kv_pool_find(const struct kv_pool *pool, struct prefix_key key, const int32_t *tokens)
{
    return prefix_index_find(&pool->index, key, tokens);
}

bool kv_pool_enter(struct kv_pool *pool, uint32_t page, struct prefix_key key,
                   const int32_t *tokens)
{
    struct page *p = &pool->page[page];
    assert(p->n_refs > 0 && !p->is_indexed);

    const enum prefix_added added = prefix_index_add(&pool->index, page, key, tokens);
    p->is_indexed = added == PREFIX_ADDED;
    return added != PREFIX_COLLISION;
}

struct kv_pool_counts kv_pool_counts(const struct kv_pool *pool)
{
    return pool->counts;
}

uint32_t kv_pool_n_refs(const struct kv_pool *pool, uint32_t page)
{
    return pool->page[page].n_refs;
}

static const char *audit_free(const struct kv_pool *pool)
{
    uint32_t n = 0;
    for (uint32_t i = pool->first_free; i != NO_LINK; i = pool->page[i].next) {
        if (++n > pool->counts.n_free) return "kv_pool I2: more free pages than n_free";
        if (pool->page[i].n_refs || pool->page[i].is_indexed)
            return "kv_pool I1: a free page has a holder or is in the index";
    }
    return n == pool->counts.n_free ? NULL : "kv_pool I2: fewer free pages than n_free";
}

static const char *audit_cached(const struct kv_pool *pool)
{
    uint32_t n = 0;
    for (int first = 0; first < 2; first++) {
        uint32_t previous = NO_LINK;
        for (uint32_t i = pool->cached[first].oldest; i != NO_LINK;
             previous = i, i = pool->page[i].next) {
            const struct page *p = &pool->page[i];
            if (++n > pool->counts.n_cached) return "kv_pool I2: more cached pages than n_cached";
            if (p->n_refs || !p->is_indexed)
                return "kv_pool I1: a cached page has a holder or is not in the index";
            if (p->previous != previous || p->goes_first != first)
                return "kv_pool: a list of cached pages is torn";
        }
        if (pool->cached[first].newest != previous)
            return "kv_pool: the end of a list of cached pages is wrong";
    }
    return n == pool->counts.n_cached ? NULL : "kv_pool I2: fewer cached pages than n_cached";
}

const char *kv_pool_audit(const struct kv_pool *pool)
{
    const struct kv_pool_counts *c = &pool->counts;
    uint32_t n_held = 0, n_indexed = 0;

    for (uint32_t i = 0; i < c->n_pages; i++) {
        n_held += pool->page[i].n_refs > 0;
        if (!pool->page[i].is_indexed) continue;
        n_indexed++;
        const struct prefix_entry *e = &pool->index.entry[i];
        if (prefix_index_find(&pool->index, e->key, e->token) != (int64_t)i)
            return "kv_pool I1: an indexed page is not found";
    }
    if (n_held != c->n_held) return "kv_pool I2: n_held is wrong";
    if ((uint64_t)c->n_free + c->n_cached + c->n_held != c->n_pages)
        return "kv_pool I2: the counts do not add up";
    if (c->n_reserved > c->n_free + c->n_cached) return "kv_pool I3: more reserved than there is";
    if (n_indexed != pool->index.n_entered) return "kv_pool: index and pages disagree";

    const char *wrong = audit_free(pool);
    if (!wrong) wrong = audit_cached(pool);
    if (!wrong) wrong = prefix_index_audit(&pool->index);
    return wrong;
}
