#include "cli/bench_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rng.h"

enum { WARM_UP_TOKENS = 16, SIGN_NS = 200000000 };

static pl_status submit(const struct bench_run *run, struct rng *rng, uint32_t n_prompt,
                        uint32_t n_gen, pl_stream **out, pl_err *err)
{
    int32_t *tokens = malloc(n_prompt * sizeof *tokens);
    if (!tokens) return PL_E_MEMORY;
    const uint32_t n_vocab = pl_engine_plan(run->engine)->n_vocab;
    for (uint32_t i = 0; i < n_prompt; i++) tokens[i] = (int32_t)rng_below(rng, n_vocab);
    pl_request request = { .tokens = tokens, .n_tokens = n_prompt, .max_tokens = n_gen,
                           .sampling = pl_sampling_default(), .ignore_eos = true };
    request.sampling.temperature = 0;
    const pl_status st = pl_submit(run->engine, &request, out, err);
    free(tokens);
    return st;
}

/* How far a row is, for whoever waits: a large model takes minutes for one. */
struct sign {
    const struct bench_run *run;
    uint64_t n_before, n_total, next_ns;    /* tokens of steps */
    uint32_t n_streams;
    bool is_shown;
};

static uint64_t tokens_so_far(const struct bench_run *run)
{
    pl_stats s;
    pl_stats_read(run->engine, &s);
    return s.n_prefill_step_tokens + s.n_decode_step_tokens;
}

static void show_sign(struct sign *s)
{
    const uint64_t now_ns = clock_ns();
    if (!s->is_shown || now_ns < s->next_ns) return;
    s->next_ns = now_ns + SIGN_NS;
    fprintf(stderr, "\r%7u streams: %" PRIu64 " of %" PRIu64 " tokens\033[K", s->n_streams,
            tokens_so_far(s->run) - s->n_before, s->n_total);
}

static void wait_for_end(pl_stream *stream, struct sign *sign)
{
    for (pl_event event = { .kind = PL_EVENT_TOKEN }; event.kind != PL_EVENT_END;)
        if (!pl_stream_next(stream, &event)) {
            event.kind = PL_EVENT_TOKEN;
            pl_stream_wait(stream, 1000);
            show_sign(sign);
        }
}

pl_status bench_warm_up(const struct bench_run *run, pl_err *err)
{
    const uint32_t n_prompt = run->n_prompt < WARM_UP_TOKENS ? run->n_prompt : WARM_UP_TOKENS;
    pl_stream *stream = NULL;
    struct rng rng;

    rng_seed(&rng, 0);
    const pl_status st = submit(run, &rng, n_prompt, 2, &stream, err);
    if (!st) wait_for_end(stream, &(struct sign){ .is_shown = false });
    pl_stream_close(stream);
    return st;
}

/* Milliseconds of a decode step by operation. Operations are only ever added to the list. */
static void set_operations(struct bench_row *row, const pl_stats *before, const pl_stats *after,
                           double n_steps)
{
    row->n_operations = n_steps > 0 ? after->n_operations : 0;
    for (uint32_t i = 0; i < row->n_operations; i++) {
        const uint64_t ns = after->operation[i].decode_ns -
                            (i < before->n_operations ? before->operation[i].decode_ns : 0);
        row->operation[i].name = after->operation[i].name;
        row->operation[i].ms = (double)ns * 1e-6 / n_steps;
    }
}

pl_status bench_row_run(const struct bench_run *run, uint32_t n_streams, struct bench_row *out,
                        pl_err *err)
{
    pl_stream **streams = calloc(n_streams, sizeof *streams);
    pl_stats before, after;
    struct rng rng;
    pl_status st = streams ? PL_OK : PL_E_MEMORY;

    rng_seed(&rng, n_streams);
    pl_stats_read(run->engine, &before);
    struct sign sign = { .run = run, .n_streams = n_streams, .n_before = tokens_so_far(run),
                         .n_total = (uint64_t)n_streams * (run->n_prompt + run->n_gen - 1),
                         .next_ns = clock_ns() + SIGN_NS, .is_shown = isatty(STDERR_FILENO) };
    for (uint32_t i = 0; !st && i < n_streams; i++)
        st = submit(run, &rng, run->n_prompt, run->n_gen, &streams[i], err);
    for (uint32_t i = 0; streams && i < n_streams && streams[i]; i++) {
        if (!st) wait_for_end(streams[i], &sign);
        pl_stream_close(streams[i]);
    }
    if (sign.is_shown) fputs("\r\033[K", stderr);
    free(streams);
    pl_stats_read(run->engine, &after);

    const uint64_t decode_ns = after.decode_step_ns - before.decode_step_ns;
    const uint64_t prefill_ns = after.prefill_step_ns - before.prefill_step_ns;
    const uint64_t n_decode = after.n_decode_step_tokens - before.n_decode_step_tokens;
    const uint64_t n_prefill = after.n_prefill_step_tokens - before.n_prefill_step_tokens;
    *out = (struct bench_row){
        .n_streams = n_streams,
        .prefill_tok_s = prefill_ns ? (double)n_prefill * 1e9 / (double)prefill_ns : 0,
        .decode_tok_s = decode_ns ? (double)n_decode * 1e9 / (double)decode_ns : 0,
    };
    out->step_ms = out->decode_tok_s > 0 ? n_streams * 1e3 / out->decode_tok_s : 0;
    set_operations(out, &before, &after, (double)n_decode / n_streams);
    return st;
}
