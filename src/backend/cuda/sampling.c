#include "backend/cuda/sampling.h"

#include "backend/row_pick.h"

void cuda_sampling_want_host(struct cuda_backend *b, struct workspace *w)
{
    const uint64_t outs = b->params.max_outs;
    const uint64_t touch_bytes = (row_pick_max_touched(&b->params) + 1) * sizeof(struct row_touch);
    const char *what = "sampling";
    for (struct sampling_step *t = b->sampling.step; t < b->sampling.step + CUDA_STEPS; t++) {
        workspace_want(w, what, outs * sizeof *t->pick, &t->pick);
        workspace_want(w, what, outs * touch_bytes, &t->touch);
        workspace_want(w, what, outs * sizeof *t->token, &t->token);
        workspace_want(w, what, outs * sizeof *t->probs, &t->probs);
    }
}

void cuda_sampling_want_device(struct cuda_backend *b, struct workspace *w)
{
    workspace_want(w, "sampling", (uint64_t)b->params.max_outs * b->n_logit_blocks * 4,
                   &b->sampling.block_sum);
}

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
    const struct cuda_sampling *s = &b->sampling;
    const struct sampling_step *t = &s->step[at], *before = &s->step[(at + 1) % CUDA_STEPS];
    const struct sampling_args args = {
        .logits = (uint32_t *)(void *)b->logit_rows, .largest = (uint32_t *)(void *)b->largest,
        .pick = t->pick, .touch = t->touch, .probs = t->probs, .token = t->token,
        .picked = before->token, .block_sum = s->block_sum, .n_rows = n,
        .n_vocab = backend_n_tokens(&b->params), .ld_vocab = b->head_weight->n_rows,
        .n_blocks = b->n_logit_blocks, .max_touched = row_pick_max_touched(&b->params),
    };
    bool is_any;
    const uint32_t flags = row_picks_write(t->pick, t->touch, &b->params, pick, n, &is_any);
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

const int32_t *cuda_sampling_tokens(const struct cuda_backend *b, uint32_t at)
{
    return b->sampling.step[at].token;
}

struct picked cuda_sampling_picked(const struct cuda_backend *b, uint32_t at, uint32_t out)
{
    const struct sampling_step *t = &b->sampling.step[at];
    return row_picked(&t->pick[out], &t->probs[out], t->token[out]);
}
