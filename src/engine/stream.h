/* A stream: one request from submit to close, an object of a fixed pool.
 *
 *   FREE --pl_submit--> QUEUED --engine admits--> RUNNING --stream_end--> ENDED --close--> FREE
 *                          |                         |
 *                          +-- pl_stream_close ------+--> CLOSED --engine, within a step--> FREE
 *
 * Who may touch what:
 *   pl_submit's thread   everything, until the object is on the engine's list of new streams
 *   engine thread        everything but the consumer's part, from then until it sets STREAM_ENDED
 *   consumer thread      the ring's reading end and what is marked so, until it sets STREAM_CLOSED
 *
 * The flags decide who frees: STREAM_ENDED says that the engine is done with the object,
 * STREAM_CLOSED that the consumer is. Each side sets its own with an acquire-release fetch_or, and
 * whoever finds the other's already set puts the object back into the pool: exactly one does.
 *
 * `lock` orders three short things: calling on_event before against after the close (no call begins
 * once pl_stream_close has returned), going to sleep in pl_stream_wait against being woken, and
 * pausing against draining the ring. It is never held with another lock, except that on_event may
 * wake the engine. */
#ifndef ENGINE_STREAM_H
#define ENGINE_STREAM_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/ring.h"
#include "engine/sampler.h"
#include "engine/scheduler.h"
#include "engine/stats.h"
#include "engine/stop.h"
#include "tokenizer/tokenizer.h"

enum stream_flag {
    STREAM_CANCELLED = 1,   /* asked to end */
    STREAM_CLOSED = 2,      /* the consumer is done with it; implies CANCELLED */
    STREAM_ENDED = 4,       /* the engine is done with it */
};

/* Where pl_score's results go: written by the sampling threads, read after the stream's end. */
struct score_job {
    float *nll;             /* (n_prompt - 1) */
    pl_token_prob *top;     /* (n_prompt, n_top) */
    uint32_t n_top;
};

struct pl_stream {
    struct seq seq;             /* first member: a seq is its stream */
    struct pl_engine *engine;
    uint32_t index;             /* in the pool */
    struct pl_stream *next;     /* in the free list or the list of new streams */

    /* the request: written by pl_submit */
    struct sampler sampler;
    struct stop_strings stop;
    bool ignore_eos, logprobs;
    uint32_t n_top;
    pl_wake_fn *on_event;
    void *arg;
    struct score_job *score;    /* NULL: an ordinary stream */
    struct pl_stream *fork_of;  /* only looked at while its live_id is fork_id */
    uint64_t fork_id;
    uint64_t submitted_ns;

    /* the engine's */
    uint64_t live_id;           /* seq.id from taking it to its end, else 0 */
    uint32_t live_index;
    bool is_queued, has_events;
    struct utf8_stream utf8;
    uint32_t n_reply;
    uint64_t admitted_ns, first_token_ns, last_token_ns;

    _Atomic uint32_t flags;
    struct ring ring;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_reader_asleep;      /* under lock */
    bool is_reader_awaited;     /* under lock: the stream pauses until half the ring is free */

    bool has_front;             /* consumer's: a record was handed out and is not popped */
};

static inline struct pl_stream *stream_of(struct seq *q)
{
    return (struct pl_stream *)q;   /* its first member */
}

/* Sizes of the storage of one stream, and of the pool. Everything a request brings along is copied
 * into its object's storage: address space that is touched as far as it is used. */
struct stream_layout {
    uint32_t n_streams, n_objects, max_tokens;
    size_t max_text_bytes;      /* of one event */
    size_t token_offset, page_offset, bias_offset, stop_offset, ring_offset;
    size_t ring_bytes, storage_bytes;
};

/* longest_token: bytes of the longest token of the vocabulary. */
void stream_layout(struct stream_layout *out, uint32_t n_streams, uint32_t queue_requests,
                   uint32_t max_tokens, size_t longest_token);

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

/* ---- engine thread: events ------------------------------------------------------------------ */

/* There is always room: a stream whose ring has less than STREAM_MIN_RECORDS records of the largest
 * size left is paused before it computes another token. */
enum { STREAM_MIN_RECORDS = 4 };

void stream_emit_admitted(struct pl_stream *s);

/* What turns tokens into text; the buffer belongs to the engine thread. */
struct reply_context {
    const struct tokenizer *tokenizer;
    char *text;                 /* STOP_MAX_BYTES, then layout.max_text_bytes */
    struct stats *stats;        /* locked by the caller */
};

/* Takes a sampled token: event, text, stop strings. Returns how the stream finishes with it,
 * PL_FINISH_NONE: it goes on. *stop_index: the matching stop string or -1. */
pl_finish reply_token(const struct reply_context *c, struct pl_stream *s,
                      const struct sampled *sampled, uint64_t now_ns, int32_t *stop_index);

/* The last event, with the text that was held back; counts the stream in the statistics. */
void reply_end(const struct reply_context *c, struct pl_stream *s, pl_finish finish,
               int32_t stop_index, uint64_t now_ns);

/* Tells the reader that there are events, if there are new ones since the last call. */
void stream_wake(struct pl_stream *s);

/* Whether the ring is nearly full; if so the reader wakes the engine once half of it is free. */
bool stream_must_pause(struct pl_stream *s);
bool stream_may_resume(const struct pl_stream *s);

#endif
