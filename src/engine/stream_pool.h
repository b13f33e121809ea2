/* The objects of all streams and their storage, taken once. */
#ifndef ENGINE_STREAM_POOL_H
#define ENGINE_STREAM_POOL_H

#include "engine/stream.h"

/* Sizes of the storage of one stream, and of the pool. Everything a request brings along is copied
 * into its object's storage: address space that is touched as far as it is used. */
struct stream_layout {
    uint32_t n_streams, n_objects, max_tokens;
    uint32_t n_kv_groups;       /* page tables: one each */
    size_t max_text_bytes;      /* of one event */
    size_t token_offset, page_offset, bias_offset, breaker_offset, stop_offset,
        ending_offset, ring_offset;
    size_t ring_bytes, storage_bytes;
};

/* longest_token: bytes of the longest token of the vocabulary. */
void stream_layout(struct stream_layout *out, uint32_t n_streams, uint32_t queue_requests,
                   uint32_t max_tokens, uint32_t n_kv_groups, size_t longest_token);

/* Entries of a page table, and so where the next one begins. */
static inline size_t stream_table_pages(const struct stream_layout *l)
{
    return (size_t)l->max_tokens / PAGE_TOKENS + 1;
}

/* What the plan counts: the objects, and the storage of n_streams of them. That of the others is
 * touched only by the prompts of waiting requests (4 bytes a token, queue_tokens at most) and by
 * replies whose reader has not closed them yet, and given back to the system afterwards. */
uint64_t stream_layout_bytes(const struct stream_layout *l);

struct stream_pool {
    struct stream_layout layout;
    struct pl_stream *stream;   /* (n_objects) */
    uint32_t n_ready;           /* streams whose locks exist */
    unsigned char *storage;     /* (n_objects, storage_bytes) */
    struct pl_stream *free;     /* guarded by the engine's lock */
};

pl_status stream_pool_open(struct stream_pool *p, const struct stream_layout *l,
                           struct pl_engine *engine, pl_err *err);
void stream_pool_close(struct stream_pool *p);

/* With the engine's lock held. take: NULL when all are in use. */
struct pl_stream *stream_pool_take(struct stream_pool *p);
void stream_pool_give(struct stream_pool *p, struct pl_stream *s);

/* Storage of a stream by its parts. */
unsigned char *stream_storage(const struct stream_pool *p, const struct pl_stream *s);

/* Lets the system have the storage back, unless it is one of those the plan counts. */
void stream_forget_storage(const struct stream_pool *p, struct pl_stream *s);

#endif
