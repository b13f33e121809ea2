/* Requests of all kinds, of what they want of their tokens, and the reply of each alone. */
#ifndef KINDS_H
#define KINDS_H

#include "unit/engine/replies.h"

enum { N_KINDS = 21, OWN_KIND = 15, GRAMMAR_KIND = 16, MAX_PROMPT = 224 };

static int32_t prompt[N_KINDS][MAX_PROMPT];
static struct reply alone[N_KINDS];

/* Greedy; drawn in every way that a backend takes over; and, from OWN_KIND on, what stays the
 * engine's. */
static inline pl_request request_of_kind(uint32_t kind)
{
    static const char *const stop[] = { "e" };
    static const int32_t stop_token[] = { 'a', 'z', 200 };
    static const int32_t end_of_thoughts[] = { 'z', 'q' };
    static const pl_logit_bias bias[] =
        { { 'e', -INFINITY }, { 'q', 3 }, { 'z', 1 }, { 'q', 0.5f } };
    pl_request r = request_of(prompt[kind], 1 + kind * 11, 20 + 9 * kind,
                              kind % 3 || kind >= OWN_KIND ? 0.8f : 0);
    r.logprobs = false;
    r.sampling.seed = kind;
    if (kind == 1) r.sampling.top_k = 40;
    if (kind == 2) r.sampling.top_p = 0.9f;
    if (kind == 4) r.sampling.min_p = 0.05f;
    if (kind == 5) r.max_tokens = 1;
    if (kind == 6) r.ignore_eos = false;
    if (kind == 7) r.logprobs = true;
    if (kind == 8) r.sampling.repetition_penalty = 1.2f;
    if (kind == 10 || kind == 11) {
        r.sampling.bias = bias;
        r.sampling.n_bias = 4;
        r.logprobs = true;
        r.n_top_logprobs = 3;
    }
    if (kind == 11) r.sampling.frequency_penalty = 0.3f;
    if (kind == 12) {
        r.sampling.presence_penalty = 0.5f;
        r.sampling.penalty_last_n = 500;
        r.n_top_logprobs = 20;
    }
    if (kind == 13) {
        r.min_tokens = 30;
        r.stop_tokens = stop_token;
        r.n_stop_tokens = 3;
        r.ignore_eos = false;
    }
    if (kind == 14) {                       /* names that leave the order as it is */
        for (const char *c = "edskpmt"; *c; c++) pl_sampling_add(&r.sampling, c, 1, NULL);
        r.sampling.top_k = 50;
        r.sampling.min_keep = 1;
    }
    if (kind == OWN_KIND) r.sampling.typical_p = 0.7f;
    if (kind == 17) {
        r.sampling.dry_multiplier = 0.8f;
        r.sampling.xtc_probability = 0.5f;
        r.sampling.repetition_penalty = 1.1f;
    }
    if (kind == 18) {
        r.sampling.mirostat = 2;
        r.sampling.mirostat_tau = 3;
    }
    if (kind == 19) {
        r.sampling.top_n_sigma = 1.5f;
        r.sampling.dynatemp_range = 0.5f;
        r.n_top_logprobs = 3;
    }
    if (kind == 20) r.thoughts = (pl_thoughts){ .end = end_of_thoughts, .n_end = 2,
                                                .max_tokens = 12 };
    if (kind == GRAMMAR_KIND)
        r.grammar = (pl_grammar){ .kind = PL_GRAMMAR_REGEX, .source = "[a-f]{500}",
                                  .n_bytes = 10 };
    if (kind == 9) {
        r.stop = stop;
        r.n_stop = 1;
    }
    return r;
}

static inline void make_replies(void)
{
    pl_engine *e = open_engine((pl_params){ .n_streams = 1, .no_prefix_cache = true });
    for (uint32_t k = 0; k < N_KINDS; k++) {
        prompt_of(prompt[k], MAX_PROMPT, 7 + k);
        const pl_request r = request_of_kind(k);
        run(e, &r, &alone[k]);
    }
    pl_close(e);
}

static inline void check(uint32_t kind, pl_stream *s)
{
    static struct reply r;
    char what[32];
    snprintf(what, sizeof what, "kind %u", kind);
    finish(s, &r);
    assert_same(&alone[kind], &r, what);
}

#endif
