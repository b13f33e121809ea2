/* From a request to a stream on the engine's list. */
#ifndef ENGINE_SUBMIT_H
#define ENGINE_SUBMIT_H

#include "engine/engine.h"

/* What a stream is there for that has no reply: where to put what is made of its prompt. */
struct prompt_job {
    struct score_job *score;    /* or NULL */
    struct embed_job *embed;    /* or NULL; its memory is held until the stream's object is free */
    bool is_begun;              /* part of what was taken before: it is no new request, and neither
                                 * a full queue nor a drain refuses it */
};

/* Submits a request; job: NULL where there is a reply. Any thread. */
pl_status engine_submit(struct pl_engine *e, const pl_request *request,
                        const struct prompt_job *job, pl_stream **out, pl_err *err);

#endif
