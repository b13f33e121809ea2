#include "engine/recompute.h"

#include "base/log.h"
#include "engine/outputs.h"

/* A token that the step before picked is its stream's by now. Of a stream that has left, any will
 * do: the column is computed for nobody. */
static void resolve_tokens(struct step *step)
{
    const struct batch *b = &step->batch;
    for (uint32_t i = 0; i < b->n_spans; i++) {
        const struct span *s = &b->span[i];
        const struct seq *q = step->span_seq[i];
        for (uint32_t c = s->first_col; c < s->first_col + s->n_cols; c++)
            if (step->token[c] < 0) step->token[c] = q ? q->token[b->pos[c]] : 0;
    }
}

void recompute_prepare(struct pl_engine *e, struct step *step)
{
    resolve_tokens(step);
    outputs_fill_picks(e, step);    /* those of another step may be where what they touch was */
}

/* Columns [first, end) of a step as a batch of their own. */
struct half {
    struct step *step;
    uint32_t first_output, first_row;
    struct batch batch;
};

static void sample_half(void *arg, uint32_t output, const struct logit_rows *rows)
{
    const struct half *h = arg;
    outputs_sample(h->step, h->first_output + output, rows);
}

/* The part of a span that lies in [first, end), as a span of the half; n_cols 0: none does. */
static struct span clip(const struct span *s, uint32_t first, uint32_t end)
{
    const uint32_t from = s->first_col > first ? s->first_col : first;
    const uint32_t s_end = s->first_col + s->n_cols, to = s_end < end ? s_end : end;
    struct span part = *s;
    part.n_cols = from < to ? to - from : 0;
    part.first_pos += from - s->first_col;
    part.first_col = from - first;
    return part;
}

/* No output lies across `first` or `end`. The half's spans and outputs are the engine's room. */
static void take_half(struct pl_engine *e, struct half *h, struct step *step, uint32_t first,
                      uint32_t end)
{
    const struct batch *b = &step->batch;
    *h = (struct half){ .step = step };
    h->batch = (struct batch){
        .n_cols = end - first, .token = b->token + first, .pos = b->pos + first,
        .span = e->half_span, .output = e->half_output,
    };
    uint32_t o = 0;
    while (o < b->n_outputs && b->output[o].first_col < first) o++;
    h->first_output = o;
    h->first_row = o < b->n_outputs ? b->output[o].first_row : b->n_rows;
    for (uint32_t i = 0; i < b->n_spans; i++) {
        const struct span part = clip(&b->span[i], first, end);
        if (!part.n_cols) continue;
        const uint32_t span = h->batch.n_spans++;
        e->half_span[span] = part;
        for (; o < b->n_outputs && b->output[o].span == i && b->output[o].first_col < end; o++) {
            struct output *out = &e->half_output[h->batch.n_outputs++];
            *out = b->output[o];
            out->span = span;
            out->first_col -= first;
            out->first_row -= h->first_row;
            h->batch.n_rows += output_n_rows(out);
        }
    }
    h->batch.pick = b->pick ? b->pick + h->first_row : NULL;
}

static pl_status compute_half(struct pl_engine *e, struct half *h, pl_err *err)
{
    const struct home *last = homes_last(&e->plan.homes);
    pl_status st = model_record(e->model, &h->batch, e->x, sample_half, h, err);
    if (st || !plan_runs_ahead(&e->plan)) return st ? st : last->ops->submit(last->backend, err);
    st = last->ops->start(last->backend, err);
    return st ? st : last->ops->finish(last->backend, e->picked + h->first_row, err);
}

/* The middle, or where the output that lies across it begins or ends; n_cols: there is no place to
 * cut. */
static uint32_t place_to_cut(const struct batch *b)
{
    const uint32_t middle = b->n_cols / 2;
    for (const struct output *o = b->output; o < b->output + b->n_outputs; o++)
        if (o->first_col < middle && middle < o->first_col + o->n_cols)
            return o->first_col ? o->first_col : o->n_cols;
    return middle ? middle : b->n_cols;
}

pl_status recompute_step(struct pl_engine *e, struct step *step, pl_err *err)
{
    const uint32_t n_cols = step->batch.n_cols, cut = place_to_cut(&step->batch);
    struct half h;
    PL_LOG(WARN, "engine", "a step of %u columns is computed again, in two: %s", n_cols, err->text);
    stats_lock(&e->stats);
    e->stats.now.n_interrupted_steps++;
    stats_unlock(&e->stats);
    recompute_prepare(e, step);
    take_half(e, &h, step, 0, cut);
    pl_status st = compute_half(e, &h, err);
    if (st || cut == n_cols) return st;
    take_half(e, &h, step, cut, n_cols);
    return compute_half(e, &h, err);
}
