#include "engine/stream_pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/cond.h"
#include "base/lazy_memory.h"
#include "base/red_zone.h"
#include "engine/record.h"
#include "engine/sampling_params.h"

enum { MIN_RING_BYTES = 64 * 1024, RING_RECORDS = 16, N_SPARE_OBJECTS = 64 };

static size_t place(size_t *at, size_t n_bytes)
{
    const size_t offset = *at;
    *at += (n_bytes + 63) / 64 * 64 + RED_ZONE_BYTES;
    return offset;
}

enum { RING, BIAS, BREAKER, STOP, ENDING, PAGE, TOKEN, N_PARTS };

/* Pointers to the breakers, then these. */
enum {
    BREAKER_BYTES = SAMPLING_MAX_BREAKERS * (sizeof(char *) + SAMPLING_MAX_BREAKER_BYTES + 1)
};

/* Of a stream's storage. */
struct parts {
    size_t offset[N_PARTS], n_bytes[N_PARTS];
};

static struct parts parts_of(const struct stream_layout *l)
{
    return (struct parts){
        .offset = { l->ring_offset, l->bias_offset, l->breaker_offset, l->stop_offset,
                    l->ending_offset, l->page_offset, l->token_offset },
        .n_bytes = { l->ring_bytes, SAMPLING_MAX_BIAS * sizeof(pl_logit_bias), BREAKER_BYTES,
                     STOP_MAX_STRINGS * STOP_MAX_BYTES, ENDING_MAX_TOKENS * sizeof(int32_t),
                     l->n_kv_groups * stream_table_pages(l) * sizeof(uint32_t),
                     (size_t)l->max_tokens * sizeof(int32_t) },
    };
}

void stream_layout(struct stream_layout *l, uint32_t n_streams, uint32_t queue_requests,
                   uint32_t max_tokens, uint32_t n_kv_groups, size_t longest_token)
{
    /* Objects beyond slots and queue: replies that ended but are not closed yet, and requests that
     * were given up in the queue while a step runs: others have their places already. */
    *l = (struct stream_layout){ .n_streams = n_streams,
                                 .n_objects = 2 * n_streams + queue_requests + N_SPARE_OBJECTS,
                                 .max_tokens = max_tokens, .n_kv_groups = n_kv_groups };
    l->max_text_bytes = STOP_MAX_BYTES + 3 * longest_token + 2 * UTF8_STREAM_SLACK;
    l->ring_bytes = MIN_RING_BYTES;
    while (l->ring_bytes < RING_RECORDS * record_max_bytes(l)) l->ring_bytes *= 2;

    size_t at = 0;
    const struct parts parts = parts_of(l);
    l->ring_offset = place(&at, parts.n_bytes[RING]);
    l->bias_offset = place(&at, parts.n_bytes[BIAS]);
    l->breaker_offset = place(&at, parts.n_bytes[BREAKER]);
    l->stop_offset = place(&at, parts.n_bytes[STOP]);
    l->ending_offset = place(&at, parts.n_bytes[ENDING]);
    l->page_offset = place(&at, parts.n_bytes[PAGE]);
    l->token_offset = place(&at, parts.n_bytes[TOKEN]);
    l->storage_bytes = lazy_memory_round(at);
}

/* Of each stream's storage all is a red zone but its parts. */
static void set_red_zones(const struct stream_pool *p)
{
    const struct stream_layout *l = &p->layout;
    const struct parts parts = parts_of(l);
    red_zone_set(p->storage, l->n_objects * l->storage_bytes);
    for (uint32_t i = 0; i < l->n_objects; i++)
        for (int part = 0; part < N_PARTS; part++)
            red_zone_lift(p->storage + i * l->storage_bytes + parts.offset[part],
                          parts.n_bytes[part]);
}

uint64_t stream_layout_bytes(const struct stream_layout *l)
{
    return (uint64_t)l->n_objects * sizeof(struct pl_stream) +
           (uint64_t)l->n_streams * l->storage_bytes;
}

pl_status stream_pool_open(struct stream_pool *p, const struct stream_layout *l,
                           struct pl_engine *engine, pl_err *err)
{
    *p = (struct stream_pool){ .layout = *l };
    void *storage;
    const pl_status st = lazy_memory_open(&storage, l->n_objects * l->storage_bytes, err);
    if (st) return st;
    p->storage = storage;
    if (RED_ZONE_BYTES) set_red_zones(p);
    p->stream = calloc(l->n_objects, sizeof *p->stream);
    if (!p->stream)
        return pl_fail(err, PL_E_MEMORY, "no memory for %u stream objects: lower queue_requests",
                       l->n_objects);
    for (; p->n_ready < l->n_objects; p->n_ready++) {
        struct pl_stream *s = &p->stream[p->n_ready];
        s->engine = engine;
        s->index = p->n_ready;
        if (pthread_mutex_init(&s->lock, NULL))
            return pl_fail(err, PL_E_MEMORY, "cannot make a lock");
        if (cond_init(&s->changed)) {
            pthread_mutex_destroy(&s->lock);
            return pl_fail(err, PL_E_MEMORY, "cannot make a condition");
        }
    }
    for (uint32_t i = l->n_objects; i-- > 0;) stream_pool_give(p, &p->stream[i]);
    return PL_OK;
}

void stream_pool_close(struct stream_pool *p)
{
    for (uint32_t i = 0; i < p->n_ready; i++) {
        pthread_cond_destroy(&p->stream[i].changed);
        pthread_mutex_destroy(&p->stream[i].lock);
    }
    free(p->stream);
    if (p->storage) red_zone_lift(p->storage, p->layout.n_objects * p->layout.storage_bytes);
    lazy_memory_close(p->storage, p->layout.n_objects * p->layout.storage_bytes);
    *p = (struct stream_pool){ 0 };
}

struct pl_stream *stream_pool_take(struct stream_pool *p)
{
    struct pl_stream *s = p->free;
    if (s) p->free = s->next;
    return s;
}

void stream_pool_give(struct stream_pool *p, struct pl_stream *s)
{
    s->next = p->free;
    p->free = s;
}

unsigned char *stream_storage(const struct stream_pool *p, const struct pl_stream *s)
{
    return p->storage + s->index * p->layout.storage_bytes;
}

void stream_forget_storage(const struct stream_pool *p, struct pl_stream *s)
{
    if (s->index >= p->layout.n_streams)
        lazy_memory_forget(stream_storage(p, s), p->layout.storage_bytes);
}
