/* The engine: everything that pl_open takes, and the thread that computes.
 *
 * I1  the engine thread alone touches scheduler, KV pool, model and `live` streams
 * I2  what other threads bring (new streams, wishes to end one, the wish to stop) goes through
 *     `lock`, held for a few instructions and never with another lock
 * I3  a step allocates nothing
 *
 * One round of the thread (step.c): take what is new, end what was cancelled, plan, tell the
 * admitted, compute, turn samples into events, wake readers. Where the backend lets steps run
 * ahead, the next is planned and handed over before this one's samples are there, and a round turns
 * those of the older one into events. With nothing to do it sleeps on `changed`. */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/plan.h"
#include "engine/stats.h"
#include "engine/stream.h"
#include "engine/text.h"

/* Room to sample in, as many as computing threads; one is claimed for each row. */
struct sample_room {
    struct candidate *scratch;  /* (n_rooms, sampler_scratch_n(n_vocab)) */
    _Atomic bool *is_taken;     /* (n_rooms) acquire on claim, release on return */
    uint32_t n_rooms;
};

/* A step from its plan to its events. */
struct flight {
    struct step step;
    struct pick *pick;          /* (max_outs) */
    bool is_all_picked;         /* by the backend: the next step may be planned on top of it */
    uint64_t begin_ns;
};

struct pl_engine {
    struct text text;
    struct plan plan;
    bool is_text_only, is_timing;

    struct backend *backend;
    struct model *model;
    struct kv_pool *kv;
    struct scheduler *scheduler;

    struct stream_pool streams;
    struct pl_stream **live;    /* (n_objects) the streams the engine owns, in no order */
    uint32_t n_live;
    struct sampled *sampled;    /* (max_outs) */
    struct sample_room rooms;
    char *reply_text;
    struct flight flight[MAX_IN_FLIGHT];    /* a ring: in flight from `oldest` on */
    uint32_t oldest, n_in_flight;
    const struct step *step;    /* whose outputs are being sampled: for the sampling threads */
    uint64_t last_end_ns;       /* of a step */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct pl_stream *new_first, *new_last; /* under lock, and so down to is_stopping */
    uint32_t n_queued, n_running;           /* waiting for a slot; in one, as of the last round */
    uint64_t n_queued_tokens, last_id;
    bool is_wake_pending, is_draining, is_stopping;

    _Atomic uint64_t busy_since_ns; /* begin of the step being computed; 0: none. Relaxed */
    _Atomic bool has_cancels;   /* some stream's flag was set: release; the engine exchanges it:
                                 * acquire, and so sees that flag */

    struct stats stats;
    pl_slot *slot;              /* (n_streams) under stats.lock */

    pthread_t thread;
    bool has_lock, has_changed, has_stats, has_thread;
};

/* What the engine takes for itself, for plan_compute. */
uint64_t engine_own_bytes(const struct plan *p);

/* Any thread: there is something to look at. */
void engine_wake(struct pl_engine *e);

/* Any thread: a stream's flags were set. */
void engine_cancel_wake(struct pl_engine *e);

/* Puts an object that both sides are done with back into the pool. */
void engine_free_stream(struct pl_engine *e, struct pl_stream *s);

/* Submits a request; score: where to put the prompt's probabilities, or NULL. */
pl_status engine_submit(struct pl_engine *e, const pl_request *request, struct score_job *score,
                        pl_stream **out, pl_err *err);

/* outputs.c: how the step's outputs are picked, by the backend where it can. */
void engine_fill_picks(struct pl_engine *e, struct flight *f);

/* sample_fn of the outputs that are not: for any of the backend's threads. arg: the engine. */
void engine_sample_row(void *arg, uint32_t out, float *logits, float *largest);

/* The engine thread. */
void *engine_run(void *engine);

#endif
