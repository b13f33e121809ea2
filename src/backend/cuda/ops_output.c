/* The end of a step: its outputs, and how it is run. */
#include "backend/cuda/sampling.h"
#include "backend/hidden_row.h"

void cuda_logits(struct backend *base, const struct head_params *p, const struct matrix *weight)
{
    struct cuda_backend *b = (struct cuda_backend *)base;
    b->head = p;
    b->head_weight = weight;
}

void cuda_sample(struct backend *base, sample_fn *fn, void *arg)
{
    struct cuda_backend *b = (struct cuda_backend *)base;
    b->step[b->at].sample = fn;
    b->step[b->at].sample_arg = arg;
}

/* ---- outputs -------------------------------------------------------------------------------- */

/* Outputs [first, end) of a step, whose logits are in logit_rows. */
struct turn {
    struct cuda_backend *b;
    const struct cuda_step *step;
    uint32_t first, end;
};

static uint32_t first_row_of(const struct turn *t)
{
    return t->step->batch.output[t->first].first_row;
}

/* Of one row, and so of all rows of its output. Hidden rows are always the caller's. */
static bool is_by_backend(const struct cuda_step *step, const struct output *o)
{
    return o->kind == OUTPUT_LOGITS && step->batch.pick &&
           step->batch.pick[o->first_row].is_by_backend;
}

/* Whether an output of this kind is the caller's to take. */
static bool wants_host(const struct cuda_step *step, enum output_kind kind)
{
    for (uint32_t i = 0; i < step->batch.n_outputs; i++)
        if (step->batch.output[i].kind == kind && !is_by_backend(step, &step->batch.output[i]))
            return true;
    return false;
}

static void run_head(const struct turn *t)
{
    struct cuda_backend *b = t->b;
    const uint32_t n = batch_n_rows(&t->step->batch, t->first, t->end);
    if (!n) return;
    const struct head_params *head = b->head;
    const struct norm_args norm = {
        .x = b->x, .h = b->head_in, .weight = head->norm.weight->values,
        .col = t->step->lists.row_col + first_row_of(t), .n = b->params.dims.d_model, .n_cols = n,
        .ld_h = b->ld_model, .eps = head->norm.eps, .is_centred = head->norm.is_centred,
    };
    const struct logits_args logits = {
        .logits = b->logit_rows, .largest = b->largest, .n_rows = n, .ld = b->head_weight->n_rows,
        .n_tokens = backend_n_tokens(&b->params), .n_blocks = b->n_logit_blocks,
        .cap = head->cap,
    };
    cuda_launch(b, CUDA_norm, &norm, sizeof norm);
    cuda_product_of(b, b->head_weight, b->head_in, n, head->scale, b->logit_rows);
    cuda_launch(b, CUDA_finish_logits, &logits, sizeof logits);
    cuda_end_operation(b, "output head");
}

/* What of a turn's outputs the host is to see. */
static void download(const struct turn *t)
{
    struct cuda_backend *b = t->b;
    const uint64_t n = batch_n_rows(&t->step->batch, t->first, t->end);
    cuda_flush(b);
    if (n && wants_host(t->step, OUTPUT_LOGITS)) {
        b->api->download(b->device, b->host_logits, b->logit_rows,
                         n * b->head_weight->n_rows * sizeof *b->logit_rows);
        b->api->download(b->device, b->host_largest, b->largest,
                         n * b->n_logit_blocks * sizeof *b->largest);
        cuda_end_operation(b, "logits to the host");
    }
    if (!t->first && wants_host(t->step, OUTPUT_HIDDEN))
        b->api->download(b->device, b->host_x, b->x, (uint64_t)t->step->batch.n_cols *
                         b->params.dims.d_model * sizeof *b->x);
}

static struct logit_rows hidden_rows(const struct cuda_backend *b, const struct output *o)
{
    const uint32_t d_model = b->params.dims.d_model;
    const struct norm *norm = &b->head->norm;
    float *x = b->host_x + (size_t)o->first_col * d_model;
    for (uint32_t i = 0; i < o->n_cols; i++)
        hidden_row_norm(x + (size_t)i * d_model, norm, norm->weight->host, d_model);
    return (struct logit_rows){ .hidden = x, .ld_hidden = d_model };
}

static struct logit_rows rows_of_logits(const struct cuda_backend *b, size_t row)
{
    const size_t ld = b->head_weight->n_rows;
    return (struct logit_rows){ .logits = b->host_logits + row * ld,
                                .largest = b->host_largest + row * b->n_logit_blocks,
                                .ld_logits = ld, .ld_largest = b->n_logit_blocks };
}

static void sample_share(void *arg, uint32_t id, uint32_t n_threads)
{
    const struct turn *t = arg;
    const struct cuda_backend *b = t->b;
    for (uint32_t i = t->first + id; i < t->end; i += n_threads) {
        const struct output *o = &t->step->batch.output[i];
        if (is_by_backend(t->step, o)) continue;
        const struct logit_rows rows = o->kind == OUTPUT_HIDDEN
                                           ? hidden_rows(b, o)
                                           : rows_of_logits(b, o->first_row - first_row_of(t));
        t->step->sample(t->step->sample_arg, i, &rows);
    }
}

/* ---- running -------------------------------------------------------------------------------- */

pl_status cuda_submit(struct backend *base, pl_err *err)
{
    struct cuda_backend *b = (struct cuda_backend *)base;
    struct cuda_step *step = &b->step[b->at];
    const uint32_t n_outputs = step->sample ? step->batch.n_outputs : 0;
    step->batch.pick = NULL;    /* all outputs are the caller's */
    if (!n_outputs) return cuda_wait(b, err);
    for (struct turn t = { b, step, 0, 0 }; t.first < n_outputs; t.first = t.end) {
        t.end = batch_turn_end(&step->batch, t.first, b->params.max_outs);
        run_head(&t);
        download(&t);
        const pl_status st = cuda_wait(b, err);
        if (st) return st;
        thread_pool_run(b->pool, sample_share, &t);
    }
    return PL_OK;
}

/* Timed, steps do not overlap. */
pl_status cuda_start(struct backend *base, pl_err *err)
{
    struct cuda_backend *b = (struct cuda_backend *)base;
    const struct cuda_step *step = &b->step[b->at];
    const struct batch *batch = &step->batch;
    if (step->sample && batch->n_outputs) {
        const struct turn all = { b, step, 0, batch->n_outputs };
        run_head(&all);
        if (batch->pick && batch->n_rows)
            cuda_sampling_record(b, batch->pick, batch->n_rows, b->at);
        download(&all);
    }
    cuda_flush(b);
    b->api->mark(b->device, STEP_MARK + b->at);
    b->n_started++;
    return b->timings.is_on ? cuda_wait(b, err) : PL_OK;
}

/* True: the backend has picked for every output. */
static bool take_picks(struct cuda_backend *b, const struct cuda_step *step,
                       struct picked *picked)
{
    const struct output *o = step->batch.output, *end = o + step->batch.n_outputs;
    bool is_all_picked = true;
    for (; o < end; o++) {
        const bool is_picked = is_by_backend(step, o);
        is_all_picked &= is_picked;
        for (uint32_t row = o->first_row; is_picked && row < o->first_row + o->n_cols; row++)
            picked[row] = cuda_sampling_picked(b, (uint32_t)(step - b->step), row);
    }
    return is_all_picked;
}

pl_status cuda_finish(struct backend *base, struct picked *picked, pl_err *err)
{
    struct cuda_backend *b = (struct cuda_backend *)base;
    const uint32_t oldest = (b->at + CUDA_STEPS - (b->n_started > 1)) % CUDA_STEPS;
    const struct cuda_step *step = &b->step[oldest];
    const pl_status st = cuda_wait_step(b, oldest, err);
    b->n_started--;
    if (st || !step->sample || take_picks(b, step, picked)) return st;
    thread_pool_run(b->pool, sample_share, &(struct turn){ b, step, 0, step->batch.n_outputs });
    return PL_OK;
}
