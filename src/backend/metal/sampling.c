#include "backend/metal/sampling.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "backend/metal/recorder.h"

_Static_assert(sizeof(struct row_touch) == sizeof(struct touch) &&
                   offsetof(struct row_touch, logit) == offsetof(struct touch, logit),
               "copied as they are");
_Static_assert((int)MAX_TOP == PICK_MAX_TOP && (int)NO_LAST_TOKEN == NO_LAST, "as the seam says");

/* All (max_outs). */
struct sampling_step {
    struct metal_buffer pick;       /* struct row_pick */
    struct metal_buffer touch;      /* (max_touched + 1) struct row_touch each */
    struct metal_buffer token;      /* int32 */
    struct metal_buffer probs;      /* struct row_probs */
};

struct metal_sampling {
    struct metal_pipeline *measure_probs, *touch_logits, *pick_tokens, *finish_probs;
    struct sampling_step step[METAL_STEPS];
    struct metal_buffer block_sum;  /* (max_outs, n_logit_blocks) f32 */
};

static uint32_t max_touched(const struct backend_params *p)
{
    return p->dims.n_vocab < MAX_TOUCHED ? p->dims.n_vocab : MAX_TOUCHED;
}

static struct workspace workspace_of(struct metal_sampling *s, const struct backend_params *p)
{
    const uint64_t outs = p->max_outs;
    const uint64_t n_blocks = (p->dims.n_vocab + LOGIT_BLOCK - 1) / LOGIT_BLOCK;
    const uint64_t touch_bytes = (max_touched(p) + 1) * sizeof(struct row_touch);
    const char *what = "sampling";
    struct workspace w = { 0 };
    for (struct sampling_step *t = s->step; t < s->step + METAL_STEPS; t++) {
        workspace_want(&w, what, outs * sizeof(struct row_pick), &t->pick);
        workspace_want(&w, what, outs * touch_bytes, &t->touch);
        workspace_want(&w, what, outs * 4, &t->token);
        workspace_want(&w, what, outs * sizeof(struct row_probs), &t->probs);
    }
    workspace_want(&w, what, outs * n_blocks * 4, &s->block_sum);
    return w;
}

uint64_t metal_sampling_bytes(const struct backend_params *params)
{
    struct metal_sampling s;
    const struct workspace w = workspace_of(&s, params);
    return metal_workspace_bytes(&w);
}

static pl_status get_kernels(struct metal_backend *b, pl_err *err)
{
    struct metal_sampling *s = b->sampling;
    const struct {
        const char *name;
        struct metal_pipeline **to;
        uint32_t n_threads;
    } all[] = {
        { "measure_probs", &s->measure_probs, SAMPLING_THREADS },
        { "touch_logits", &s->touch_logits, SAMPLING_THREADS },
        { "pick_tokens", &s->pick_tokens, SAMPLING_THREADS },
        { "finish_probs", &s->finish_probs, METAL_SIMDGROUP },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const pl_status st = metal_pipeline_get(b->device, all[i].name, NULL, 0, all[i].to, err);
        if (st) return st;
        if (metal_pipeline_max_threads(*all[i].to) < all[i].n_threads)
            return pl_fail(err, PL_E_UNSUPPORTED, "%s runs in %" PRIu32 " threads on this GPU; "
                           "%" PRIu32 " are wanted", all[i].name,
                           metal_pipeline_max_threads(*all[i].to), all[i].n_threads);
    }
    return PL_OK;
}

pl_status metal_sampling_open(struct metal_backend *b, pl_err *err)
{
    struct metal_sampling *s = b->sampling = calloc(1, sizeof *s);
    if (!s) return pl_fail(err, PL_E_MEMORY, "no memory for the sampler's records");
    const struct workspace w = workspace_of(s, &b->params);
    const pl_status st = metal_workspace_take(b, &w, err);
    return st ? st : get_kernels(b, err);
}

void metal_sampling_close(struct metal_backend *b)
{
    free(b->sampling);
    b->sampling = NULL;
}

/* ---- what is wanted ------------------------------------------------------------------------- */

/* How the token is drawn. The logarithm is the host's, so that min-p has the same border as on the
 * CPU. */
static void set_draw(struct row_pick *r, const struct pick *p, uint32_t n_vocab)
{
    const bool has_top_k = p->top_k && p->top_k < n_vocab;
    r->kind = PICK_LARGEST;
    if (p->temperature == 0 || p->top_k == 1 || !isfinite(1 / p->temperature)) return;
    r->kind = has_top_k || p->top_p < 1 || p->min_p > 0 ? PICK_FROM_BEST : PICK_FROM_ALL;
    r->unit = fminf((float)p->unit, 0x1.fffffep-1f);
    r->scale = 1 / p->temperature;
    if (has_top_k) r->top_k = p->top_k;
    if (p->top_p < 1) r->top_p = p->top_p;
    if (p->min_p > 0) r->log_min_p = logf(p->min_p);
}

static struct row_pick row_pick_of(const struct pick *p, uint32_t n_vocab)
{
    struct row_pick r = { .kind = PICK_BY_HOST, .top_p = 1, .log_min_p = -FLT_MAX };
    if (!p->is_by_backend) return r;
    set_draw(&r, p, n_vocab);
    r.repetition_penalty = p->repetition_penalty;
    r.frequency_penalty = p->frequency_penalty;
    r.presence_penalty = p->presence_penalty;
    r.last = p->last;
    r.n_touched = p->n_touched;
    r.n_top = p->n_top;
    if (p->n_touched || p->last != NO_LAST) r.flags |= PICK_TOUCHES;
    if (p->wants_logprob || p->n_top) r.flags |= PICK_WANTS_PROBS;
    return r;
}

/* What the kernels read of n picks; returns the flags of all of them, by *is_any: whether there is
 * one. */
static uint32_t write_picks(struct metal_backend *b, const struct pick *pick, uint32_t n,
                            const struct sampling_step *step, bool *is_any)
{
    const size_t ld_touch = max_touched(&b->params) + 1;
    struct row_pick *to = step->pick.bytes;
    uint32_t flags = 0;
    *is_any = false;
    for (uint32_t i = 0; i < n; i++) {
        to[i] = row_pick_of(&pick[i], backend_n_tokens(&b->params));
        if (to[i].n_touched)
            memcpy((struct row_touch *)step->touch.bytes + i * ld_touch, pick[i].touch,
                   to[i].n_touched * sizeof *pick[i].touch);
        *is_any |= to[i].kind != PICK_BY_HOST;
        flags |= to[i].flags;
    }
    return flags;
}

/* ---- recording ------------------------------------------------------------------------------ */

/* Of the rows that were changed. */
static void record_largest(struct metal_backend *b, const struct row_pick *pick, uint32_t n)
{
    const struct largest_args args = { backend_n_tokens(&b->params), b->ld_vocab,
                                       b->n_logit_blocks, 0 };     /* capped already */
    for (uint32_t i = 0; i < n; i++) {
        if (!(pick[i].flags & PICK_TOUCHES)) continue;
        const struct metal_dispatch d = {
            .pipeline = b->kernel.largest,
            .n_buffers = 2,
            .args = &args,
            .args_bytes = sizeof args,
            .buffer = { { &b->logit_rows, (uint64_t)i * b->ld_vocab * sizeof(float) },
                        { &b->largest, (uint64_t)i * b->n_logit_blocks * sizeof(float) } },
            .n_groups = { b->n_logit_blocks, 1, 1 },
            .n_threads = METAL_SIMDGROUP,
        };
        metal_dispatch(b->device, &d);
    }
    metal_end_operation(b, "penalties");
}

void metal_sampling_record(struct metal_backend *b, const struct pick *pick, uint32_t n,
                           uint32_t at)
{
    struct metal_sampling *s = b->sampling;
    const struct sampling_step *t = &s->step[at], *before = &s->step[(at + 1) % METAL_STEPS];
    const struct sampling_args args = { backend_n_tokens(&b->params), b->ld_vocab,
                                        b->n_logit_blocks, max_touched(&b->params) };
    const struct metal_buffer *measured[] = { &b->logit_rows, &b->largest, &t->pick, &t->probs };
    const struct metal_buffer *touched[] = { &b->logit_rows, &t->pick, &t->touch, &before->token };
    const struct metal_buffer *picked[] = { &b->logit_rows, &b->largest, &t->pick, &s->block_sum,
                                            &t->token };
    const struct metal_buffer *finished[] = { &b->logit_rows, &t->pick, &t->touch, &t->token,
                                              &t->probs };
    bool is_any;
    const uint32_t flags = write_picks(b, pick, n, t, &is_any);
    if (!is_any) return;
    if (flags & PICK_WANTS_PROBS) {
        metal_record(b, s->measure_probs, measured, 4, &args, sizeof args, n, 1, SAMPLING_THREADS);
        metal_end_operation(b, "log-probabilities");
    }
    if (flags & PICK_TOUCHES) {
        metal_record(b, s->touch_logits, touched, 4, &args, sizeof args, n, 1, SAMPLING_THREADS);
        metal_end_operation(b, "penalties");
        record_largest(b, t->pick.bytes, n);
    }
    metal_record(b, s->pick_tokens, picked, 5, &args, sizeof args, n, 1, SAMPLING_THREADS);
    metal_end_operation(b, "sample");
    if (!(flags & PICK_WANTS_PROBS)) return;
    metal_record(b, s->finish_probs, finished, 5, &args, sizeof args, n, 1, METAL_SIMDGROUP);
    metal_end_operation(b, "log-probabilities");
}

/* ---- what came of it ------------------------------------------------------------------------ */

const struct metal_buffer *metal_sampling_tokens(const struct metal_backend *b, uint32_t at)
{
    return &b->sampling->step[at].token;
}

struct picked metal_sampling_picked(const struct metal_backend *b, uint32_t at, uint32_t out)
{
    const struct sampling_step *t = &b->sampling->step[at];
    const struct row_pick *pick = (const struct row_pick *)t->pick.bytes + out;
    const struct row_probs *probs = (const struct row_probs *)t->probs.bytes + out;
    struct picked p = { .token = ((const int32_t *)t->token.bytes)[out] };
    if (!(pick->flags & PICK_WANTS_PROBS) || p.token < 0) return p;
    p.logprob = probs->logprob;
    p.n_top = probs->n_top;
    for (uint32_t i = 0; i < p.n_top; i++)
        p.top[i] = (pl_token_prob){ probs->token[i], probs->top[i] };
    return p;
}
