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

enum { AHEAD_COLS = 512, AHEAD_STEPS = MAX_IN_FLIGHT, AHEAD_MAX_TOUCHED = 150 };

struct ahead_step {
    int32_t token[AHEAD_COLS];  /* as it is known when the step is computed, */
    int32_t given[AHEAD_COLS];  /* and as the batch has it */
    struct picked picked[AHEAD_COLS];
    struct batch batch;
    float *logits, *largest;    /* (n_rows, n_vocab) and (n_rows, blocks), until finish */
    float *hidden;              /* (n_cols, d_model) likewise */
    sample_fn *sample;
    void *sample_arg;
};

static struct ahead {
    struct backend_ops ops;
    struct ahead_step step[AHEAD_STEPS];
    uint32_t at, n_started, n_vocab, d_model;
    _Atomic uint64_t n_on_top;  /* steps started on top of another */
    bool is_first_choice, is_broken;    /* "auto" means it; it cannot be opened */
    _Atomic uint32_t fail_at;   /* the n-th finish from now fails; 0: none */
    _Atomic uint32_t interrupt_every;   /* and every n-th is interrupted; 0: none */
    _Atomic uint64_t n_finished;
} ahead;

static inline pl_status ahead_open(struct backend **out, const struct backend_params *p,
                                   pl_err *err)
{
    *out = NULL;
    if (ahead.is_broken) return pl_fail(err, PL_E_UNSUPPORTED, "no GPU that this runs on");
    assert(p->max_cols <= AHEAD_COLS && p->max_outs <= AHEAD_COLS);
    ahead.n_vocab = p->dims.n_vocab;
    ahead.d_model = p->dims.d_model;
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
        s->token[c] = s->given[c] = batch->token[c];
        if (s->token[c] >= 0) continue;
        assert(ahead.n_started == 1);
        s->token[c] = before->picked[-1 - s->token[c]].token;
        assert(s->token[c] >= 0);
    }
    s->batch.token = s->token;
    for (uint32_t o = 0; o < AHEAD_COLS; o++) s->picked[o].token = INT32_MIN;
    backend_cpu.begin(b, &s->batch);
}

/* Whose last token may be what the step before picked: the column's own, which is known by now. */
static inline void ahead_pick(struct ahead_step *s, uint32_t r, uint32_t col, const struct row *row)
{
    struct candidate *scratch = calloc(row->n, sizeof *scratch);
    struct pick pick = s->batch.pick[r];
    assert(pick.last == NO_LAST || pick.last == s->given[col]);
    if (pick.last != NO_LAST) pick.last = s->token[col];
    sampler_pick(&pick, row, scratch, &s->picked[r]);
    free(scratch);
}

/* On any of the CPU's threads. */
static inline void ahead_keep(void *arg, uint32_t output, const struct logit_rows *rows)
{
    struct ahead_step *s = arg;
    const struct output *o = &s->batch.output[output];
    for (uint32_t i = 0; i < o->n_cols && rows->hidden; i++)
        memcpy(s->hidden + (size_t)(o->first_col + i) * ahead.d_model,
               rows->hidden + i * rows->ld_hidden, ahead.d_model * sizeof *s->hidden);
    for (uint32_t i = 0; i < output_n_rows(o); i++) {
        const struct row row = { rows->logits + i * rows->ld_logits,
                                 rows->largest + i * rows->ld_largest, ahead.n_vocab };
        const uint32_t n_blocks = row_n_blocks(row.n), r = o->first_row + i;
        memcpy(s->logits + (size_t)r * row.n, row.x, row.n * sizeof *row.x);
        memcpy(s->largest + (size_t)r * n_blocks, row.largest, n_blocks * sizeof *row.largest);
        if (s->batch.pick[r].is_by_backend) ahead_pick(s, r, o->first_col + i, &row);
    }
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
    const size_t n = s->batch.n_rows;
    s->logits = calloc(n * ahead.n_vocab + 1, sizeof *s->logits);
    s->largest = calloc(n * row_n_blocks(ahead.n_vocab) + 1, sizeof *s->largest);
    s->hidden = calloc((size_t)s->batch.n_cols * ahead.d_model, sizeof *s->hidden);
    ahead.n_on_top += ahead.n_started++;
    return backend_cpu.submit(b, err);
}

static inline pl_status ahead_finish(struct backend *b, struct picked *picked, pl_err *err)
{
    (void)b;
    struct ahead_step *s = &ahead.step[(ahead.at + (ahead.n_started > 1)) % AHEAD_STEPS];
    assert(ahead.n_started);
    ahead.n_started--;
    const uint64_t n = ++ahead.n_finished;
    const bool is_interrupted = ahead.interrupt_every && n % ahead.interrupt_every == 0;
    const bool fails = (ahead.fail_at && --ahead.fail_at == 0) || is_interrupted;
    const uint32_t n_vocab = ahead.n_vocab, n_blocks = row_n_blocks(n_vocab);
    for (uint32_t i = 0; i < s->batch.n_outputs && s->sample && !fails; i++) {
        const struct output *o = &s->batch.output[i];
        const uint32_t row = o->first_row;
        const bool is_hidden = o->kind == OUTPUT_HIDDEN;
        const struct logit_rows rows = {
            .logits = s->logits + (size_t)row * n_vocab, .ld_logits = n_vocab,
            .largest = s->largest + (size_t)row * n_blocks, .ld_largest = n_blocks,
            .hidden = is_hidden ? s->hidden + (size_t)o->first_col * ahead.d_model : NULL,
            .ld_hidden = ahead.d_model
        };
        assert(!is_hidden || !ahead.n_started);     /* X would be another step's */
        if (!is_hidden && s->batch.pick[row].is_by_backend) picked[row] = s->picked[row];
        else s->sample(s->sample_arg, i, &rows);
    }
    free(s->logits);
    free(s->largest);
    free(s->hidden);
    const pl_status st = is_interrupted ? PL_E_INTERRUPTED : PL_E_INTERNAL;
    return fails ? pl_fail(err, st, "a planted failure") : PL_OK;
}

static inline void ahead_copy_page(struct backend *b, uint32_t kv_group, uint32_t to,
                                   uint32_t from)
{
    assert(!ahead.n_started);
    backend_cpu.copy_page(b, kv_group, to, from);
}

const struct backend_ops *backend_find(const char *name)
{
    const bool is_auto = !name || !strcmp(name, "auto");
    if (is_auto ? !ahead.is_first_choice : strcmp(name, "ahead")) return &backend_cpu;
    ahead.ops = backend_cpu;
    ahead.ops.name = "ahead";
    ahead.ops.max_touched = AHEAD_MAX_TOUCHED;
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
