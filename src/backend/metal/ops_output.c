/* The end of a step: its outputs, and how it is handed over and waited for. */
#include "backend/hidden_row.h"
#include "backend/metal/recorder.h"
#include "backend/metal/sampling.h"

void metal_logits(struct backend *base, const struct head_params *p, const struct matrix *weight)
{
    struct metal_backend *b = (struct metal_backend *)base;
    b->head = p;
    b->head_weight = weight;
}

void metal_sample(struct backend *base, sample_fn *fn, void *arg)
{
    struct metal_backend *b = (struct metal_backend *)base;
    b->step[b->at].sample = fn;
    b->step[b->at].sample_arg = arg;
}

/* ---- outcomes ------------------------------------------------------------------------------- */

/* The step that was started before the last one, or the last. */
static struct metal_step *oldest(struct metal_backend *b)
{
    return &b->step[(b->at + METAL_STEPS - (b->n_started > 1)) % METAL_STEPS];
}

static pl_status outcome(const struct metal_step *step, pl_err *err)
{
    if (!step->has_failed) return PL_OK;
    *err = step->failure;
    return step->failure.status;
}

/* ---- outputs -------------------------------------------------------------------------------- */

/* Outputs [first, end) of a step, whose logits are in logit_rows. */
struct turn {
    struct metal_backend *b;
    const struct metal_step *step;
    uint32_t first, end;
};

static void record_head(const struct turn *t)
{
    struct metal_backend *b = t->b;
    const struct batch *batch = &t->step->batch;
    const uint32_t n = batch_n_rows(batch, t->first, t->end);
    if (!n) return;
    const uint64_t first_row = batch->output[t->first].first_row;
    const struct row_args norm = { b->params.dims.d_model, b->ld_model, b->ld_model, 1,
                                    b->head->norm.eps, 1, b->head->norm.is_centred, 0 };
    const struct largest_args largest = { backend_n_tokens(&b->params), b->ld_vocab,
                                          b->n_logit_blocks, b->head->cap };
    const struct product head = {
        .matrix = b->head_weight, .in = &b->head_in, .out = &b->logit_rows, .ld_in = b->ld_model,
        .ld_out = b->ld_vocab, .n_cols = n, .epilogue = EPILOGUE_STORE, .scale = b->head->scale,
    };
    const struct metal_buffer *of_largest[] = { &b->logit_rows, &b->largest };
    struct metal_dispatch d = {
        .pipeline = b->kernel.norm_indexed,
        .n_buffers = 4,
        .args = &norm,
        .args_bytes = sizeof norm,
        .buffer = { { &b->x, 0 },
                    { &b->head->norm.weight->values, 0 },
                    { &b->head_in, 0 },
                    { &t->step->row_col, first_row * sizeof(uint32_t) } },
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

/* Of one row, and so of all rows of its output. Hidden rows are always the caller's. */
static bool is_by_backend(const struct metal_step *step, const struct output *o)
{
    return o->kind == OUTPUT_LOGITS && step->batch.pick &&
           step->batch.pick[o->first_row].is_by_backend;
}

/* X is the host's memory too. No step is on top of one with such outputs, which would write it. */
static struct logit_rows hidden_rows(const struct metal_backend *b, const struct output *o)
{
    const struct norm *norm = &b->head->norm;
    float *x = (float *)b->x.bytes + (size_t)o->first_col * b->ld_model;
    for (uint32_t i = 0; i < o->n_cols; i++)
        hidden_row_norm(x + (size_t)i * b->ld_model, norm, norm->weight->values.bytes,
                        b->params.dims.d_model);
    return (struct logit_rows){ .hidden = x, .ld_hidden = b->ld_model };
}

static struct logit_rows rows_of_logits(const struct metal_backend *b, size_t row)
{
    return (struct logit_rows){ .logits = (float *)b->logit_rows.bytes + row * b->ld_vocab,
                                .largest = (float *)b->largest.bytes + row * b->n_logit_blocks,
                                .ld_logits = b->ld_vocab, .ld_largest = b->n_logit_blocks };
}

static void sample_share(void *arg, uint32_t id, uint32_t n_threads)
{
    const struct turn *t = arg;
    struct metal_backend *b = t->b;
    const struct output *output = t->step->batch.output;
    const uint32_t first_row = output[t->first].first_row;
    for (uint32_t i = t->first + id; i < t->end; i += n_threads) {
        const struct output *o = &output[i];
        if (is_by_backend(t->step, o)) continue;
        const struct logit_rows rows = o->kind == OUTPUT_HIDDEN
                                           ? hidden_rows(b, o)
                                           : rows_of_logits(b, o->first_row - first_row);
        t->step->sample(t->step->sample_arg, i, &rows);
    }
}

/* ---- handing over --------------------------------------------------------------------------- */

/* Ends the command buffer and waits for it. */
static pl_status run_to_here(struct metal_backend *b, struct metal_step *step, pl_err *err)
{
    metal_commit(b->device);
    metal_wait_for(b, step, NULL);
    return outcome(step, err);
}

pl_status metal_submit(struct backend *base, pl_err *err)
{
    struct metal_backend *b = (struct metal_backend *)base;
    struct metal_step *step = &b->step[b->at];
    const uint32_t n_outputs = step->sample ? step->batch.n_outputs : 0;
    step->batch.pick = NULL;    /* all outputs are the caller's */
    if (!n_outputs) return run_to_here(b, step, err);
    for (struct turn t = { b, step, 0, 0 }; t.first < n_outputs; t.first = t.end) {
        if (t.first) metal_begin(b->device);
        t.end = batch_turn_end(&step->batch, t.first, b->params.max_outs);
        record_head(&t);
        const pl_status st = run_to_here(b, step, err);
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
    const struct batch *batch = &step->batch;
    if (step->sample && batch->n_outputs) {
        record_head(&(struct turn){ b, step, 0, batch->n_outputs });
        if (batch->pick && batch->n_rows)
            metal_sampling_record(b, batch->pick, batch->n_rows, b->at);
    }
    metal_commit(b->device);
    b->n_started++;
    return PL_OK;
}

/* True: the backend has picked for every output. */
static bool take_picks(struct metal_backend *b, const struct metal_step *step,
                       struct picked *picked)
{
    const struct output *o = step->batch.output, *end = o + step->batch.n_outputs;
    bool is_all_picked = true;
    for (; o < end; o++) {
        const bool is_picked = is_by_backend(step, o);
        is_all_picked &= is_picked;
        for (uint32_t row = o->first_row; is_picked && row < o->first_row + o->n_cols; row++)
            picked[row] = metal_sampling_picked(b, (uint32_t)(step - b->step), row);
    }
    return is_all_picked;
}

pl_status metal_finish(struct backend *base, struct picked *picked, pl_err *err)
{
    struct metal_backend *b = (struct metal_backend *)base;
    struct metal_step *step = oldest(b);
    metal_wait_until_over(b, step);
    b->n_started--;
    const pl_status st = outcome(step, err);
    if (st || !step->sample) return st;
    if (take_picks(b, step, picked)) return PL_OK;
    thread_pool_run(b->pool, sample_share, &(struct turn){ b, step, 0, step->batch.n_outputs });
    return PL_OK;
}
