/* A backend whose steps run ahead, for tests of the engine: the CPU's, which computes a step when
 * it is started, keeps its logits, and picks tokens itself where the engine leaves that to it. It
 * picks as the engine's own sampler would, so that replies can be compared bit for bit. One engine
 * at a time.
 *
 * Included by one test, which links it in the place of src/backend/registry.c. */
#ifndef AHEAD_BACKEND_H
#define AHEAD_BACKEND_H

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/backend_cpu.h"
#include "engine/row.h"
#include "engine/sampler.h"

enum { AHEAD_COLS = 512, AHEAD_STEPS = MAX_IN_FLIGHT };

struct ahead_step {
    int32_t token[AHEAD_COLS], picked[AHEAD_COLS];
    struct batch batch;
    float *logits, *largest;    /* (n_outs, n_vocab) and (n_outs, blocks), until finish */
    sample_fn *sample;
    void *sample_arg;
};

static struct ahead {
    struct backend_ops ops;
    struct ahead_step step[AHEAD_STEPS];
    uint32_t at, n_started, n_vocab;
    _Atomic uint64_t n_on_top;  /* steps started on top of another */
    bool is_first_choice, is_broken;    /* "auto" means it; it cannot be opened */
    _Atomic uint32_t fail_at;   /* the n-th finish from now fails; 0: none */
} ahead;

static inline pl_status ahead_open(struct backend **out, const struct backend_params *p,
                                   pl_err *err)
{
    *out = NULL;
    if (ahead.is_broken) return pl_fail(err, PL_E_UNSUPPORTED, "no GPU that this runs on");
    assert(p->max_cols <= AHEAD_COLS && p->max_outs <= AHEAD_COLS);
    ahead.n_vocab = p->dims.n_vocab;
    ahead.n_started = 0;
    const pl_status st = backend_cpu.open(out, p, err);
    if (!st) (*out)->ops = &ahead.ops;
    return st;
}

/* Whoever reads a token before it is picked gets what no vocabulary has. */
static inline void ahead_begin(struct backend *b, const struct batch *batch)
{
    assert(ahead.n_started < AHEAD_STEPS);
    const struct ahead_step *before = &ahead.step[ahead.at];
    struct ahead_step *s = &ahead.step[ahead.at = (ahead.at + 1) % AHEAD_STEPS];
    s->batch = *batch;
    s->sample = NULL;
    for (uint32_t c = 0; c < batch->n_cols; c++) {
        s->token[c] = batch->token[c];
        if (s->token[c] >= 0) continue;
        assert(ahead.n_started == 1);
        s->token[c] = before->picked[-1 - s->token[c]];
        assert(s->token[c] >= 0);
    }
    s->batch.token = s->token;
    for (uint32_t o = 0; o < AHEAD_COLS; o++) s->picked[o] = INT32_MIN;
    backend_cpu.begin(b, &s->batch);
}

/* The generator that draws `unit` next: xoshiro256**'s output function, undone. */
static inline struct rng rng_that_draws(double unit)
{
    const uint64_t inverse_of_9 = 0x8e38e38e38e38e39, inverse_of_5 = 0xcccccccccccccccd;
    const uint64_t result = (uint64_t)(unit * 0x1p53) << 11, turned = result * inverse_of_9;
    return (struct rng){ .state = { 0, (turned >> 7 | turned << 57) * inverse_of_5, 0, 0 } };
}

static inline int32_t ahead_pick(const struct pick *p, const struct row *row)
{
    struct candidate *scratch = calloc(sampler_scratch_n(row->n), sizeof *scratch);
    pl_sampling params = pl_sampling_default();
    params.temperature = p->temperature;
    params.top_k = p->top_k;
    params.top_p = p->top_p;
    params.min_p = p->min_p;
    struct sampler sampler;
    struct sampled sampled;
    sampler_init(&sampler, &params, row->n);
    sampler.rng = rng_that_draws(p->unit);
    sampler_pick(&sampler, row, NULL, 0, false, 0, scratch, &sampled);
    free(scratch);
    return sampled.token;
}

/* On any of the CPU's threads. */
static inline void ahead_keep(void *arg, uint32_t out, float *logits, float *largest)
{
    struct ahead_step *s = arg;
    const struct row row = { logits, largest, ahead.n_vocab };
    const uint32_t n_blocks = row_n_blocks(row.n);
    memcpy(s->logits + (size_t)out * row.n, logits, row.n * sizeof *logits);
    memcpy(s->largest + (size_t)out * n_blocks, largest, n_blocks * sizeof *largest);
    if (s->batch.pick[out].is_by_backend) s->picked[out] = ahead_pick(&s->batch.pick[out], &row);
}

static inline void ahead_sample(struct backend *b, sample_fn *fn, void *arg)
{
    struct ahead_step *s = &ahead.step[ahead.at];
    s->sample = fn;
    s->sample_arg = arg;
    backend_cpu.sample(b, ahead_keep, s);
}

static inline pl_status ahead_start(struct backend *b, pl_err *err)
{
    struct ahead_step *s = &ahead.step[ahead.at];
    const size_t n = s->batch.n_outs;
    s->logits = calloc(n * ahead.n_vocab + 1, sizeof *s->logits);
    s->largest = calloc(n * row_n_blocks(ahead.n_vocab) + 1, sizeof *s->largest);
    ahead.n_on_top += ahead.n_started++;
    return backend_cpu.submit(b, err);
}

static inline pl_status ahead_finish(struct backend *b, const int32_t **picked, pl_err *err)
{
    (void)b;
    struct ahead_step *s = &ahead.step[(ahead.at + (ahead.n_started > 1)) % AHEAD_STEPS];
    assert(ahead.n_started);
    ahead.n_started--;
    const bool fails = ahead.fail_at && --ahead.fail_at == 0;
    for (uint32_t o = 0; o < s->batch.n_outs && s->sample && !fails; o++)
        if (!s->batch.pick[o].is_by_backend)
            s->sample(s->sample_arg, o, s->logits + (size_t)o * ahead.n_vocab,
                      s->largest + (size_t)o * row_n_blocks(ahead.n_vocab));
    free(s->logits);
    free(s->largest);
    *picked = s->picked;
    return fails ? pl_fail(err, PL_E_INTERNAL, "a planted failure") : PL_OK;
}

static inline void ahead_copy_page(struct backend *b, uint32_t to, uint32_t from)
{
    assert(!ahead.n_started);
    backend_cpu.copy_page(b, to, from);
}

const struct backend_ops *backend_find(const char *name)
{
    const bool is_auto = !name || !strcmp(name, "auto");
    if (is_auto ? !ahead.is_first_choice : strcmp(name, "ahead")) return &backend_cpu;
    ahead.ops = backend_cpu;
    ahead.ops.name = "ahead";
    ahead.ops.open = ahead_open;
    ahead.ops.begin = ahead_begin;
    ahead.ops.sample = ahead_sample;
    ahead.ops.start = ahead_start;
    ahead.ops.finish = ahead_finish;
    ahead.ops.copy_page = ahead_copy_page;
    return &ahead.ops;
}

const char *backend_names(void)
{
    return "ahead, cpu";
}

#endif
