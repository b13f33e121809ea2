/* pl_score and pl_logits: streams that end with their prompt, whose every position is an output, or
 * its last. */
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

/* Runs a prompt through to its end; what the job asks for is where it says then. */
static pl_status run_prompt(pl_engine *e, const int32_t *tokens, size_t n_tokens,
                            struct score_job *job, pl_err *err)
{
    const pl_request request = { .tokens = tokens, .n_tokens = n_tokens,
                                 .sampling = pl_sampling_default() };
    pl_stream *stream = NULL;
    pl_status st = engine_submit(e, &request, &(struct prompt_job){ .score = job }, &stream, err);
    if (st) return st;
    const pl_finish finish = wait_for_end(stream);
    pl_stream_close(stream);
    if (finish == PL_FINISH_ERROR)
        return pl_fail(err, PL_E_INTERNAL, "a step of the score failed: see the log");
    if (finish != PL_FINISH_LENGTH)
        return pl_fail(err, PL_E_CLOSING, "the engine was closed before the score was complete");
    return PL_OK;
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
    const pl_status st =
        r.nll && r.top ? run_prompt(e, tokens, n_tokens, &job, err)
                       : pl_fail(err, PL_E_MEMORY, "no memory for the scores of %zu tokens",
                                 n_tokens);
    if (st) {
        pl_score_free(&r);
        return st;
    }
    *out = r;
    return PL_OK;
}

PL_API pl_status pl_logits(pl_engine *e, const int32_t *tokens, size_t n_tokens, float *out,
                           size_t n_out, pl_err *err)
{
    const uint32_t n_vocab = e->plan.public.n_vocab;
    if (n_out != n_vocab)
        return pl_fail(err, PL_E_PARAM, "there is room for %zu logits; the vocabulary has %u "
                       "tokens (pl_plan.n_vocab)", n_out, n_vocab);
    return run_prompt(e, tokens, n_tokens, &(struct score_job){ .logits = out }, err);
}
