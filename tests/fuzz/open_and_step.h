/* Bytes that are a sound file go on: planned, opened, and asked for one token after a prompt of
 * two. Whatever the header's numbers are, the engine refuses them or has room for them. */
#ifndef TESTS_FUZZ_OPEN_AND_STEP_H
#define TESTS_FUZZ_OPEN_AND_STEP_H

#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "paceline.h"

/* Of an input: more would only make runs slow. Nothing here is larger but by a few numbers of the
 * header. */
enum { FUZZ_CTX = 32, FUZZ_MAX_PLAN_BYTES = 64 << 20 };

static inline void fuzz_read_reply(pl_stream *s)
{
    pl_event event;
    for (;;) {
        while (pl_stream_next(s, &event))
            if (event.kind == PL_EVENT_END) return;
        pl_stream_wait(s, 100);         /* the fuzzer's own time limit ends what never ends */
    }
}

static inline void fuzz_step(pl_engine *e)
{
    const int32_t tokens[] = { 0, (int32_t)pl_engine_plan(e)->n_vocab - 1 };
    pl_request r = { .tokens = tokens, .n_tokens = 2, .max_tokens = 1,
                     .sampling = pl_sampling_default(), .n_top_logprobs = 3 };
    pl_stream *s = NULL;
    pl_err err;
    r.sampling.top_k = 3;
    if (pl_submit(e, &r, &s, &err)) return;
    fuzz_read_reply(s);
    pl_stream_close(s);
}

static inline void fuzz_open_and_step(const uint8_t *data, size_t n)
{
    char path[64];
    const int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, n) != (ssize_t)n) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    const pl_params params = { .model_path = path, .n_streams = 1, .ctx_tokens = FUZZ_CTX,
                               .n_threads = 2, .step_tokens = 4, .queue_requests = 1,
                               .backend = "cpu" };
    pl_engine *e = NULL;
    pl_plan plan;
    pl_err err = { 0 };
    pl_status st = pl_plan_compute(&plan, &params, &err);
    if (!st && plan.total_bytes <= FUZZ_MAX_PLAN_BYTES) {
        st = pl_open(&e, &params, &err);
        if (!st) fuzz_step(e);
        pl_close(e);
    }
    if (st && !err.text[0]) abort();    /* a refusal says why */
    close(fd);
}

#endif
