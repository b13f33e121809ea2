/* From a request to a stream on the engine's list. */
#ifndef ENGINE_SUBMIT_H
#define ENGINE_SUBMIT_H

#include "engine/engine.h"

/* Where a stream waits for its slot. */
enum submit_place {
    PLACE_NEW,                  /* in the queue, which may be full, or drained */
    PLACE_HELD,                 /* in the queue, for what has had a place there: not refused */
    PLACE_EXTRA,                /* beside the queue, for what is under way anyhow: as many as there
                                 * are slots, so that these stay full. PL_E_BUSY: no more */
};

/* What a stream is there for beside a reply, or instead: where to put what is made of its prompt.
 */
struct prompt_job {
    bool has_reply;
    struct score_job *score;    /* or NULL */
    struct embed_job *embed;    /* or NULL; its memory is held until the stream's object is free */
    enum submit_place place;
};

/* Submits a request. Its own prompt_logprobs go where the stream has them. Any thread. */
pl_status engine_submit(struct pl_engine *e, const pl_request *request,
                        const struct prompt_job *job, pl_stream **out, pl_err *err);

#endif
