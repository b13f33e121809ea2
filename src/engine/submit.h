/* From a request to a stream on the engine's list. */
#ifndef ENGINE_SUBMIT_H
#define ENGINE_SUBMIT_H

#include "engine/engine.h"

/* Submits a request; score: where to put the prompt's probabilities, or NULL. Any thread. */
pl_status engine_submit(struct pl_engine *e, const pl_request *request, struct score_job *score,
                        pl_stream **out, pl_err *err);

#endif
