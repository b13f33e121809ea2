/* What tests of the engine share: an engine on the model at model_path, requests and whole replies.
 */
#ifndef REPLIES_H
#define REPLIES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "paceline.h"
#include "unit/engine/tiny_model.h"

enum { MAX_REPLY = 4096 };

static char model_path[4096];
static const char *backend_name;    /* of engines that say none; NULL: auto */

static inline pl_engine *open_engine(pl_params params)
{
    pl_err err = { 0 };
    pl_engine *e = NULL;
    params.model_path = model_path;
    if (!params.backend) params.backend = backend_name;
    if (!params.ctx_tokens) params.ctx_tokens = 512;
    if (pl_open(&e, &params, &err)) fail_msg("%s", err.text);
    return e;
}

/* ---- one reply ------------------------------------------------------------------------------ */

struct reply {
    uint32_t n;
    int32_t token[MAX_REPLY];
    float logprob[MAX_REPLY];
    uint64_t tops;              /* of all alternatives, a checksum */
    char text[3 * MAX_REPLY + 64];
    size_t n_text;
    pl_finish finish;
    int32_t stop_index;
    pl_usage usage;
    bool was_admitted;
};

static inline void take(struct reply *r, const pl_event *e)
{
    if (e->kind == PL_EVENT_ADMITTED) r->was_admitted = true;
    if (e->kind == PL_EVENT_TOKEN) {
        assert_true(r->n < MAX_REPLY);
        r->token[r->n] = e->token;
        r->logprob[r->n++] = e->logprob;
        for (const pl_token_prob *t = e->top; t < e->top + e->n_top; t++) {
            uint32_t bits;
            memcpy(&bits, &t->logprob, sizeof bits);
            r->tops = (r->tops ^ (uint64_t)t->token << 32 ^ bits) * 0x100000001b3 + 1;
        }
    }
    memcpy(r->text + r->n_text, e->text, e->n_text_bytes);
    r->n_text += e->n_text_bytes;
    if (e->kind != PL_EVENT_END) return;
    r->finish = e->finish;
    r->stop_index = e->stop_index;
    r->usage = e->usage;
}

/* Reads to the end and closes. */
static inline void finish(pl_stream *s, struct reply *r)
{
    pl_event e;
    *r = (struct reply){ 0 };
    for (int waits = 0;;) {
        while (pl_stream_next(s, &e)) {
            take(r, &e);
            if (e.kind == PL_EVENT_END) {
                pl_stream_close(s);
                return;
            }
        }
        if (!pl_stream_wait(s, 1000) && ++waits == 60) fail_msg("no event in 60 s");
    }
}

static inline void prompt_of(int32_t *tokens, uint32_t n, uint64_t seed)
{
    struct rng rng;
    rng_seed(&rng, seed);
    for (uint32_t i = 0; i < n; i++) tokens[i] = (int32_t)rng_below(&rng, 256);
}

static inline pl_request request_of(const int32_t *tokens, uint32_t n, uint32_t max_tokens, float t)
{
    pl_request r = { .tokens = tokens, .n_tokens = n, .max_tokens = max_tokens,
                     .sampling = pl_sampling_default(), .ignore_eos = true, .logprobs = true };
    r.sampling.temperature = t;
    r.sampling.seed = 42;
    return r;
}

static inline pl_stream *submit(pl_engine *e, const pl_request *r)
{
    pl_err err = { 0 };
    pl_stream *s = NULL;
    if (pl_submit(e, r, &s, &err)) fail_msg("%s", err.text);
    return s;
}

static inline void run(pl_engine *e, const pl_request *r, struct reply *out)
{
    finish(submit(e, r), out);
}

static inline void assert_same(const struct reply *a, const struct reply *b, const char *what)
{
    if (a->n != b->n || memcmp(a->token, b->token, a->n * sizeof *a->token) ||
        memcmp(a->logprob, b->logprob, a->n * sizeof *a->logprob) || a->tops != b->tops ||
        a->n_text != b->n_text ||
        memcmp(a->text, b->text, a->n_text) || a->finish != b->finish)
        fail_msg("%s: replies differ (%u and %u tokens)", what, a->n, b->n);
}

/* ---- a request whose replies are compared ---------------------------------------------------- */

enum { N_PROMPT = 75, N_REPLY = 60 };

struct subject {
    int32_t prompt[N_PROMPT];
    pl_request greedy, seeded;
    struct reply greedy_reply, seeded_reply;
};

static inline void make_subject(struct subject *s)
{
    prompt_of(s->prompt, N_PROMPT, 1);
    s->greedy = request_of(s->prompt, N_PROMPT, N_REPLY, 0);
    s->seeded = request_of(s->prompt, N_PROMPT, N_REPLY, 0.9f);
    s->seeded.sampling.top_p = 0.95f;
    s->seeded.sampling.top_k = 100;
    s->seeded.sampling.repetition_penalty = 1.1f;

    pl_engine *e = open_engine((pl_params){ .n_threads = 1, .no_prefix_cache = true });
    run(e, &s->greedy, &s->greedy_reply);
    run(e, &s->seeded, &s->seeded_reply);
    pl_close(e);
    assert_int_equal(s->greedy_reply.n, N_REPLY);
    assert_int_equal(s->seeded_reply.n, N_REPLY);
    assert_int_equal(s->greedy_reply.finish, PL_FINISH_LENGTH);
}

/* ---- a group of tests on a tiny model -------------------------------------------------------- */

static inline int write_tiny_model(void **state)
{
    (void)state;
    return !tiny_model_write(model_path, false);
}

static inline int remove_tiny_model(void **state)
{
    (void)state;
    return unlink(model_path);
}

#endif
