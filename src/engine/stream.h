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
 * stalling against draining the ring. It is never held with another lock, except that on_event may
 * wake the engine. */
#ifndef ENGINE_STREAM_H
#define ENGINE_STREAM_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/ring.h"
#include "engine/constraint.h"
#include "engine/embed_job.h"
#include "engine/ending.h"
#include "engine/thought.h"
#include "engine/scheduler.h"
#include "engine/stats.h"
#include "engine/stop.h"
#include "tokenizer/tokenizer.h"

enum stream_flag {
    STREAM_CANCELLED = 1,   /* asked to end */
    STREAM_CLOSED = 2,      /* the consumer is done with it; implies CANCELLED */
    STREAM_ENDED = 4,       /* the engine is done with it */
};

/* Where the log-probabilities of a prompt go, or the logits of its last position: written by the
 * sampling threads, read after the last of its positions, which is before the first token of a
 * reply is told. */
struct score_job {
    float *nll;             /* (n_prompt - 1); NULL: logits alone are wanted */
    pl_token_prob *top;     /* (n_prompt, n_top) */
    uint32_t n_top;
    float *logits;          /* (n_vocab), or NULL */
};

struct pl_stream {
    struct seq seq;             /* first member: a seq is its stream */
    struct pl_engine *engine;
    uint32_t index;             /* in the pool */
    struct pl_stream *next;     /* in the free list or the list of new streams */

    /* the request: written by pl_submit */
    pl_sampling sampling;       /* settled; its arrays are storage of the stream */
    struct stop_strings stop;
    struct ending ending;
    struct thought thought;
    bool ignore_eos, logprobs, control_text;
    uint32_t n_top;
    pl_wake_fn *on_event;
    void *arg;
    struct score_job *score;    /* NULL: nothing is told of the prompt */
    bool owns_score;            /* one block of memory, until the object is free; else pl_score's,
                                 * which may be gone once the stream has ended */
    bool has_reply;             /* else the stream ends with its prompt */
    struct embed_job *embed;    /* NULL: none. Another text's once the stream has ended */
    struct embed_memory *embed_memory;  /* is held until the object is free */
    struct pl_stream *fork_of;  /* only looked at while its live_id is fork_id */
    uint64_t fork_id;
    uint64_t who;
    int32_t priority;
    uint64_t submitted_ns;

    /* the engine's */
    uint64_t live_id;           /* seq.id from taking it to its end, else 0 */
    uint32_t live_index;
    bool has_events;
    double mu;                  /* mirostat's, of the token that comes next; next_mu of the one
                                 * behind it: a sampling thread's, until the token is delivered */
    double next_mu;
    struct constraint *constraint;  /* NULL: every token may come */
    struct utf8_stream utf8;
    uint32_t n_reply;
    uint64_t admitted_ns, first_token_ns, last_token_ns;

    bool is_queued, is_extra;   /* under the engine's lock: has a place in the queue, or beside */

    _Atomic uint32_t flags;
    struct ring ring;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_reader_asleep;      /* under lock */
    bool is_reader_awaited;     /* under lock: the stream is stalled until half the ring is free */

    bool has_front;             /* consumer's: a record was handed out and is not popped */
};

static inline struct pl_stream *stream_of(struct seq *q)
{
    return (struct pl_stream *)q;   /* its first member */
}

/* ---- engine thread: events ------------------------------------------------------------------ */

/* There is always room: a stream whose ring has less than STREAM_MIN_RECORDS records of the largest
 * size left is stalled before it computes another token. */
enum { STREAM_MIN_RECORDS = 4 };

void stream_emit_admitted(struct pl_stream *s);

/* Tells the reader that there are events, if there are new ones since the last call. */
void stream_wake(struct pl_stream *s);

/* Whether the ring is nearly full; if so the reader wakes the engine once half of it is free. */
bool stream_must_stall(struct pl_stream *s);
bool stream_may_go_on(const struct pl_stream *s);

#endif
