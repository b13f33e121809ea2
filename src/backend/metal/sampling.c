#include "backend/metal/sampling.h"

#include <inttypes.h>
#include <stdlib.h>

#include "backend/metal/recorder.h"
#include "backend/row_pick.h"

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

static struct workspace workspace_of(struct metal_sampling *s, const struct backend_params *p)
{
    const uint64_t outs = p->max_outs;
    const uint64_t n_blocks = (p->dims.n_vocab + LOGIT_BLOCK - 1) / LOGIT_BLOCK;
    const uint64_t touch_bytes = (row_pick_max_touched(p) + 1) * sizeof(struct row_touch);
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
                                        b->n_logit_blocks, row_pick_max_touched(&b->params) };
    const struct metal_buffer *measured[] = { &b->logit_rows, &b->largest, &t->pick, &t->probs };
    const struct metal_buffer *touched[] = { &b->logit_rows, &t->pick, &t->touch, &before->token };
    const struct metal_buffer *picked[] = { &b->logit_rows, &b->largest, &t->pick, &s->block_sum,
                                            &t->token };
    const struct metal_buffer *finished[] = { &b->logit_rows, &t->pick, &t->touch, &t->token,
                                              &t->probs };
    bool is_any;
    const uint32_t flags = row_picks_write(t->pick.bytes, t->touch.bytes, &b->params, pick, n,
                                           &is_any);
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
    return row_picked((const struct row_pick *)t->pick.bytes + out,
                      (const struct row_probs *)t->probs.bytes + out,
                      ((const int32_t *)t->token.bytes)[out]);
}
