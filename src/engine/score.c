/* pl_score: a stream whose every prompt position is an output. */
#include <stdlib.h>

#include "engine/submit.h"

PL_API void pl_score_free(pl_score_result *r)
{
    free(r->nll);
    free(r->top);
    *r = (pl_score_result){ 0 };
}

/* To the end of the stream; results are complete then. */
static pl_finish wait_for_end(pl_stream *stream)
{
    pl_event event;
    for (;;) {
        while (pl_stream_next(stream, &event))
            if (event.kind == PL_EVENT_END) return event.finish;
        pl_stream_wait(stream, 1000);
    }
}

PL_API pl_status pl_score(pl_engine *e, const int32_t *tokens, size_t n_tokens, uint32_t n_top,
                          pl_score_result *out, pl_err *err)
{
    *out = (pl_score_result){ 0 };
    if (n_top > PICK_MAX_TOP)
        return pl_fail(err, PL_E_PARAM, "n_top is %u; at most %d is allowed", n_top,
                       PICK_MAX_TOP);
    const size_t n_wanted = n_tokens ? n_tokens : 1;
    pl_score_result r = { .n_tokens = n_tokens, .n_top = n_top };
    r.nll = calloc(n_wanted, sizeof *r.nll);
    r.top = calloc(n_wanted * (n_top ? n_top : 1), sizeof *r.top);

    struct score_job job = { .nll = r.nll, .top = r.top, .n_top = n_top };
    const pl_request request = { .tokens = tokens, .n_tokens = n_tokens,
                                 .sampling = pl_sampling_default() };
    pl_stream *stream = NULL;
    pl_status st = r.nll && r.top
                       ? engine_submit(e, &request, &(struct prompt_job){ .score = &job }, &stream,
                                       err)
                       : pl_fail(err, PL_E_MEMORY, "no memory for the scores of %zu tokens",
                                 n_tokens);
    const pl_finish finish = st ? PL_FINISH_LENGTH : wait_for_end(stream);
    if (finish == PL_FINISH_ERROR)
        st = pl_fail(err, PL_E_INTERNAL, "a step of the score failed: see the log");
    else if (finish != PL_FINISH_LENGTH)
        st = pl_fail(err, PL_E_CLOSING, "the engine was closed before the score was complete");
    pl_stream_close(stream);
    if (st) {
        pl_score_free(&r);
        return st;
    }
    *out = r;
    return PL_OK;
}
