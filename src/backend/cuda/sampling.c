#include "backend/cuda/sampling.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(struct row_touch) == sizeof(struct touch) &&
                   offsetof(struct row_touch, logit) == offsetof(struct touch, logit),
               "copied as they are");
_Static_assert((int)MAX_TOP == PICK_MAX_TOP && (int)NO_LAST_TOKEN == NO_LAST, "as the seam says");

/* All (max_outs), of the host, where the GPU reads and writes them. */
struct sampling_step {
    struct row_pick *pick;
    struct row_touch *touch;        /* (max_touched + 1) each */
    int32_t *token;
    struct row_probs *probs;
};

struct cuda_sampling {
    struct sampling_step step[CUDA_STEPS];
    float *block_sum;               /* (max_outs, n_logit_blocks) the device's */
};

enum { PART_ALIGNMENT = 64 };

static uint32_t max_touched(const struct backend_params *p)
{
    return p->dims.n_vocab < MAX_TOUCHED ? p->dims.n_vocab : MAX_TOUCHED;
}

/* What the host and the GPU share. */
static struct workspace workspace_of(struct cuda_sampling *s, const struct backend_params *p)
{
    const uint64_t outs = p->max_outs;
    const uint64_t touch_bytes = (max_touched(p) + 1) * sizeof(struct row_touch);
    const char *what = "sampling";
    struct workspace w = { 0 };
    for (struct sampling_step *t = s->step; t < s->step + CUDA_STEPS; t++) {
        workspace_want(&w, what, outs * sizeof(struct row_pick), &t->pick);
        workspace_want(&w, what, outs * touch_bytes, &t->touch);
        workspace_want(&w, what, outs * sizeof *t->token, &t->token);
        workspace_want(&w, what, outs * sizeof(struct row_probs), &t->probs);
    }
    return w;
}

static uint64_t aligned(uint64_t n_bytes)
{
    return (n_bytes + PART_ALIGNMENT - 1) / PART_ALIGNMENT * PART_ALIGNMENT;
}

static uint64_t bytes_of(const struct workspace *w)
{
    uint64_t n_bytes = 0;
    for (uint32_t i = 0; i < w->n; i++) n_bytes += aligned(w->part[i].n_bytes);
    return n_bytes;
}

static uint64_t block_sum_bytes(const struct backend_params *p)
{
    const uint64_t n_blocks = (p->dims.n_vocab + LOGIT_BLOCK - 1) / LOGIT_BLOCK;
    return p->max_outs * n_blocks * sizeof(float);
}

uint64_t cuda_sampling_bytes(const struct backend_params *params)
{
    struct cuda_sampling s;
    const struct workspace w = workspace_of(&s, params);
    return bytes_of(&w) + block_sum_bytes(params);
}

pl_status cuda_sampling_open(struct cuda_backend *b, pl_err *err)
{
    char text[CUDA_TEXT_BYTES];
    void *shared, *block_sum;
    struct cuda_sampling *s = b->sampling = calloc(1, sizeof *s);
    if (!s) return pl_fail(err, PL_E_MEMORY, "no memory for the sampler's records");
    const struct workspace w = workspace_of(s, &b->params);
    if (b->api->take_host(b->device, bytes_of(&w), &shared, text) ||
        b->api->take(b->device, block_sum_bytes(&b->params), &block_sum, text))
        return pl_fail(err, PL_E_MEMORY, "the sampler's buffers: %s", text);
    uint8_t *at = shared;
    for (uint32_t i = 0; i < w.n; i++) {
        *(void **)w.part[i].to = at;
        at += aligned(w.part[i].n_bytes);
    }
    s->block_sum = block_sum;
    return PL_OK;
}

void cuda_sampling_close(struct cuda_backend *b)
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
static uint32_t write_picks(const struct cuda_backend *b, const struct pick *pick, uint32_t n,
                            const struct sampling_step *step, bool *is_any)
{
    const size_t ld_touch = max_touched(&b->params) + 1;
    uint32_t flags = 0;
    *is_any = false;
    for (uint32_t i = 0; i < n; i++) {
        struct row_pick *to = &step->pick[i];
        *to = row_pick_of(&pick[i], backend_n_tokens(&b->params));
        if (to->n_touched)
            memcpy(step->touch + i * ld_touch, pick[i].touch,
                   to->n_touched * sizeof *pick[i].touch);
        *is_any |= to->kind != PICK_BY_HOST;
        flags |= to->flags;
    }
    return flags;
}

/* ---- launching ------------------------------------------------------------------------------ */

/* Of the rows that were changed. */
static void find_largest(struct cuda_backend *b, const struct row_pick *pick, uint32_t n)
{
    const uint32_t ld = b->head_weight->n_rows;
    for (uint32_t i = 0; i < n; i++) {
        const struct logits_args args = {
            .logits = b->logit_rows + (size_t)i * ld,
            .largest = b->largest + (size_t)i * b->n_logit_blocks, .n_rows = 1, .ld = ld,
            .n_tokens = backend_n_tokens(&b->params), .n_blocks = b->n_logit_blocks,
        };
        if (pick[i].flags & PICK_TOUCHES) cuda_launch(b, CUDA_finish_logits, &args, sizeof args);
    }
}

void cuda_sampling_record(struct cuda_backend *b, const struct pick *pick, uint32_t n,
                          uint32_t at)
{
    struct cuda_sampling *s = b->sampling;
    const struct sampling_step *t = &s->step[at], *before = &s->step[(at + 1) % CUDA_STEPS];
    const struct sampling_args args = {
        .logits = (uint32_t *)(void *)b->logit_rows, .largest = (uint32_t *)(void *)b->largest,
        .pick = t->pick, .touch = t->touch, .probs = t->probs, .token = t->token,
        .picked = before->token, .block_sum = s->block_sum, .n_rows = n,
        .n_vocab = backend_n_tokens(&b->params), .ld_vocab = b->head_weight->n_rows,
        .n_blocks = b->n_logit_blocks, .max_touched = max_touched(&b->params),
    };
    bool is_any;
    const uint32_t flags = write_picks(b, pick, n, t, &is_any);
    if (!is_any) return;
    if (flags & PICK_WANTS_PROBS) cuda_launch(b, CUDA_measure_probs, &args, sizeof args);
    if (flags & PICK_TOUCHES) {
        cuda_launch(b, CUDA_touch, &args, sizeof args);
        find_largest(b, t->pick, n);
    }
    cuda_launch(b, CUDA_pick, &args, sizeof args);
    if (flags & PICK_WANTS_PROBS) cuda_launch(b, CUDA_finish_probs, &args, sizeof args);
    cuda_end_operation(b, "sample");
}

/* ---- what came of it ------------------------------------------------------------------------ */

const int32_t *cuda_sampling_tokens(const struct cuda_backend *b, uint32_t at)
{
    return b->sampling->step[at].token;
}

struct picked cuda_sampling_picked(const struct cuda_backend *b, uint32_t at, uint32_t out)
{
    const struct sampling_step *t = &b->sampling->step[at];
    const struct row_probs *probs = &t->probs[out];
    struct picked p = { .token = t->token[out] };
    if (!(t->pick[out].flags & PICK_WANTS_PROBS) || p.token < 0) return p;
    p.logprob = probs->logprob;
    p.n_top = probs->n_top;
    for (uint32_t i = 0; i < p.n_top; i++)
        p.top[i] = (pl_token_prob){ probs->token[i], probs->top[i] };
    return p;
}
