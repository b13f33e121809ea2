/* From logits to a token. A sampler belongs to one stream: its own random numbers, so that a seeded
 * reply is the same whoever else is served.
 *
 * Threads: different samplers may run at the same time; one sampler is used by one thread at a
 * time. No allocation after sampler_init: scratch is the caller's. */
#ifndef ENGINE_SAMPLER_H
#define ENGINE_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/backend.h"
#include "base/rng.h"
#include "base/status.h"
#include "paceline.h"

enum { SAMPLER_MAX_BIAS = 1024, SAMPLER_MAX_TOP = 20 };

struct sampler {
    pl_sampling params;         /* bias points into storage of the stream */
    struct rng rng;
    uint32_t n_vocab;
};

/* Room a thread needs to sample once: sampler_scratch_n(n_vocab) of these, zeroed before the first
 * use. The second half holds, by token, what penalties and bias did; it is left zeroed. */
struct candidate {
    float value;
    int32_t token;
};

static inline size_t sampler_scratch_n(uint32_t n_vocab)
{
    return 2 * (size_t)n_vocab;
}

struct sampled {
    int32_t token;
    float logprob;              /* of the unmodified distribution */
    uint32_t n_top;
    pl_token_prob top[SAMPLER_MAX_TOP];
};

/* PL_E_PARAM names the value, its bounds and what was found. */
pl_status sampling_check(const pl_sampling *p, uint32_t n_vocab, pl_err *err);

void sampler_init(struct sampler *s, const pl_sampling *params, uint32_t n_vocab);

struct row;

/* Draws the next token. history: prompt and reply so far, what the penalties look at. The row may
 * be changed. want_logprob and n_top fill the rest of *out. Ties go to the smaller token id. A row
 * that holds no finite logit, or that forbids every token, gives token -1. */
void sampler_pick(struct sampler *s, const struct row *row, const int32_t *history,
                  uint32_t n_history, bool want_logprob, uint32_t n_top,
                  struct candidate *scratch, struct sampled *out);

/* The same draw for a backend to make: takes the stream's random number and leaves the rest to it.
 * is_by_backend is false, and nothing is taken, where a history or every token would have to be
 * looked at: penalties, biases, typical sampling. */
struct pick sampler_delegate(struct sampler *s);

/* -log p(token) under the logits, and the n_top best (missing ones: token -1); for pl_score. A
 * token outside the vocabulary, or a row without a finite logit, gives +INFINITY. */
float sampler_score(const struct row *row, int32_t token, uint32_t n_top, pl_token_prob *top);

#endif
