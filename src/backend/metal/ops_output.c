/* The end of a step: its outputs, and how it is handed over and waited for. */
#include "backend/metal/metal_internal.h"
#include "backend/metal/sampling.h"

void metal_logits(struct backend *base, const struct vector *norm, float eps,
                  const struct matrix *weight)
{
    struct metal_backend *b = (struct metal_backend *)base;
    b->head_norm = norm;
    b->head_eps = eps;
    b->head_weight = weight;
}

void metal_sample(struct backend *base, sample_fn *fn, void *arg)
{
    struct metal_backend *b = (struct metal_backend *)base;
    b->step[b->at].sample = fn;
    b->step[b->at].sample_arg = arg;
}

/* ---- waiting -------------------------------------------------------------------------------- */

/* Waits for the oldest command buffer, which is this step's. gpu_ns: see metal_wait. */
static void wait_for(struct metal_backend *b, struct metal_step *step, uint64_t *gpu_ns)
{
    pl_err err;
    if (metal_wait(b->device, gpu_ns, &err) && !step->has_failed) {
        step->has_failed = true;
        step->failure = err;
    }
}

/* The step that was started before the last one, or the last. */
static struct metal_step *oldest(struct metal_backend *b)
{
    return &b->step[(b->at + METAL_STEPS - (b->n_started > 1)) % METAL_STEPS];
}

static void wait_until_over(struct metal_backend *b, struct metal_step *step)
{
    if (!step->is_over) wait_for(b, step, NULL);
    step->is_over = true;
}

uint64_t metal_run_so_far(struct metal_backend *b)
{
    struct metal_step *recorded = &b->step[b->at];
    if (b->n_started) wait_until_over(b, &b->step[(b->at + 1) % METAL_STEPS]);
    uint64_t ns = 0;
    metal_commit(b->device);
    wait_for(b, recorded, &ns);
    metal_begin(b->device);
    return ns;
}

static pl_status outcome(const struct metal_step *step, pl_err *err)
{
    if (!step->has_failed) return PL_OK;
    *err = step->failure;
    return PL_E_INTERNAL;
}

/* ---- outputs -------------------------------------------------------------------------------- */

/* Outputs [first, last) of a step, whose logits are in logit_rows. */
struct turn {
    struct metal_backend *b;
    const struct metal_step *step;
    uint32_t first, last;
};

static void record_head(const struct turn *t)
{
    struct metal_backend *b = t->b;
    const uint32_t n = t->last - t->first;
    const struct row_args norm = { b->params.dims.d_model, b->ld_model, b->ld_model, b->head_eps };
    const struct row_args largest = { b->params.dims.n_vocab, b->ld_vocab, b->n_logit_blocks, 0 };
    const struct product head = {
        .matrix = b->head_weight, .in = &b->head_in, .out = &b->logit_rows, .ld_in = b->ld_model,
        .ld_out = b->ld_vocab, .n_cols = n, .epilogue = EPILOGUE_STORE, .scale = 1,
    };
    const struct metal_buffer *of_largest[] = { &b->logit_rows, &b->largest };
    struct metal_dispatch d = {
        .pipeline = b->kernel.norm_indexed,
        .n_buffers = 4,
        .args = &norm,
        .args_bytes = sizeof norm,
        .buffer = { { &b->x, 0 },
                    { &b->head_norm->values, 0 },
                    { &b->head_in, 0 },
                    { &t->step->out_col, t->first * sizeof(uint32_t) } },
        .n_groups = { n, 1, 1 },
        .n_threads = NORM_THREADS,
    };
    metal_dispatch(b->device, &d);
    metal_end_operation(b, "norm");
    metal_product(b, &head);
    metal_end_operation(b, "output head");
    metal_record(b, b->kernel.largest, of_largest, 2, &largest, sizeof largest, b->n_logit_blocks,
                 n, METAL_SIMDGROUP);
    metal_end_operation(b, "output head");
}

static bool is_by_backend(const struct metal_step *step, uint32_t out)
{
    return step->pick && step->pick[out].is_by_backend;
}

static void sample_share(void *arg, uint32_t id, uint32_t n_threads)
{
    const struct turn *t = arg;
    struct metal_backend *b = t->b;
    for (uint32_t o = t->first + id; o < t->last; o += n_threads) {
        const size_t row = o - t->first;
        if (is_by_backend(t->step, o)) continue;
        t->step->sample(t->step->sample_arg, o, (float *)b->logit_rows.bytes + row * b->ld_vocab,
                        (float *)b->largest.bytes + row * b->n_logit_blocks);
    }
}

static uint32_t count_picks(const struct metal_step *step)
{
    uint32_t n = 0;
    for (uint32_t o = 0; o < step->n_outs; o++) n += is_by_backend(step, o);
    return n;
}

/* ---- handing over --------------------------------------------------------------------------- */

pl_status metal_submit(struct backend *base, pl_err *err)
{
    struct metal_backend *b = (struct metal_backend *)base;
    struct metal_step *step = &b->step[b->at];
    const uint32_t n_outs = step->sample ? step->n_outs : 0;
    const uint32_t n_turns = (n_outs + b->params.max_outs - 1) / b->params.max_outs;
    step->pick = NULL;      /* all outputs are the caller's */
    for (uint32_t i = 0; i < n_turns || i == 0; i++) {
        struct turn t = { b, step, 0, 0 };
        if (i) metal_begin(b->device);
        if (n_turns) {
            t.first = (uint32_t)((uint64_t)n_outs * i / n_turns);
            t.last = (uint32_t)((uint64_t)n_outs * (i + 1) / n_turns);
            record_head(&t);
        }
        metal_commit(b->device);
        wait_for(b, step, NULL);
        const pl_status st = outcome(step, err);
        if (st) return st;
        thread_pool_run(b->pool, sample_share, &t);
    }
    return PL_OK;
}

pl_status metal_start(struct backend *base, pl_err *err)
{
    struct metal_backend *b = (struct metal_backend *)base;
    const struct metal_step *step = &b->step[b->at];
    (void)err;
    if (step->sample && step->n_outs) {
        record_head(&(struct turn){ b, step, 0, step->n_outs });
        if (step->pick) metal_sampling_record(b, step->pick, step->n_outs, b->at);
    }
    metal_commit(b->device);
    b->n_started++;
    return PL_OK;
}

pl_status metal_finish(struct backend *base, const int32_t **picked, pl_err *err)
{
    struct metal_backend *b = (struct metal_backend *)base;
    struct metal_step *step = oldest(b);
    wait_until_over(b, step);
    b->n_started--;
    *picked = metal_sampling_tokens(b, (uint32_t)(step - b->step))->bytes;
    const pl_status st = outcome(step, err);
    if (st || !step->sample || count_picks(step) == step->n_outs) return st;
    thread_pool_run(b->pool, sample_share, &(struct turn){ b, step, 0, step->n_outs });
    return PL_OK;
}
