/* The engine: everything that pl_open takes, and the thread that computes.
 *
 * I1  the engine thread alone touches scheduler, KV pool, model and `live` streams
 * I2  what other threads bring (new streams, wishes to end one, the wish to stop) goes through
 *     `lock`, held for a few instructions and never with another lock
 * I3  a step allocates nothing
 *
 * One round of the thread (step.c): take what is new, end what was cancelled, compose, tell the
 * admitted, compute, turn samples into events, wake readers. Where the backend lets steps run
 * ahead, the next is composed and handed over before this one's samples are there, and a round
 * turns those of the older one into events. With nothing to do it sleeps on `changed`. */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/constraint_room.h"
#include "engine/plan.h"
#include "engine/sampler.h"
#include "engine/stats.h"
#include "engine/step_watch.h"
#include "engine/stream_pool.h"
#include "engine/text.h"
#include "engine/turns.h"

/* Room to sample in, as many as computing threads; one is claimed for each row. */
struct sample_rooms {
    struct candidate *scratch;  /* (n_rooms, n_vocab) */
    uint32_t *seat;             /* (n_rooms, n_vocab) */
    struct touch *touch;        /* (n_rooms, max_touched) */
    _Atomic bool *is_taken;     /* (n_rooms) acquire on claim, release on return */
    uint32_t n_rooms, n_vocab, max_touched;
};

struct pl_engine {
    struct text text;
    struct plan plan;
    bool is_text_only, is_timing;

    struct model *model;        /* in the homes of the plan, which are open */
    float *x;                   /* (step_tokens, d_model) between two homes */
    struct kv_pool *kv[MAX_KV_GROUPS];
    struct kv_pool *states;     /* NULL: streams have none */
    struct scheduler *scheduler;

    void *arrays;               /* one block of those below */
    struct stream_pool streams;
    struct pl_stream **live;    /* (n_objects) the streams the engine owns, in no order */
    uint32_t n_live;
    struct turns turns;
    struct flow *flow;          /* (turns_entries) */
    struct picked *picked;      /* (max_outs) of the step that ended last */
    struct touch *touch;        /* (max_outs, max_touched), of picks that are the backend's */
    uint32_t max_touched;
    struct span *half_span;     /* (n_streams) of half a step that is computed again */
    struct output *half_output; /* (n_streams) */
    struct sample_rooms rooms;
    struct constraint_room constraints;
    char *reply_text;
    uint64_t last_end_ns;       /* of a step */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct pl_stream *new_first, *new_last; /* under lock, and so down to is_stopping */
    uint32_t n_queued, n_running;           /* waiting for a slot and wanted; in one */
    uint32_t n_extra;                       /* waiting beside the queue */
    uint64_t n_queued_tokens, last_id;
    bool is_wake_pending, is_draining, is_stopping;

    struct step_watch watch;    /* of the oldest step in flight */
    _Atomic bool has_cancels;   /* some stream's flag was set: release; the engine exchanges it:
                                 * acquire, and so sees that flag */

    struct stats stats;
    pl_slot *slot;              /* (n_streams) under stats.lock */

    pthread_t thread;
    bool has_lock, has_changed, has_stats, has_thread;
};

/* The engine thread. */
void *engine_run(void *engine);

#endif
