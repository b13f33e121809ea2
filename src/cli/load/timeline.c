#include "cli/load/timeline.h"

#include <math.h>

#include "cli/load/figures.h"

static double span_of(double length_s)
{
    const double least = fmax(length_s / TIMELINE_MAX_SPANS, 1e-3);
    const double ten = pow(10, floor(log10(least) + 1e-9));
    const double times = least / ten * (1 - 1e-9);   /* rounding must not make the next one of it */
    return ten * (times <= 1 ? 1 : times <= 2 ? 2 : times <= 5 ? 5 : 10);
}

static double after_s(const struct load_run *run, uint64_t ns)
{
    return ns > run->begin_ns ? (double)(ns - run->begin_ns) * 1e-9 : 0;
}

static size_t span_at(const struct load_timeline *t, double at_s)
{
    const size_t i = (size_t)(at_s / t->span_s);
    return i < t->n_spans ? i : t->n_spans - 1;
}

static void add_tokens(struct load_timeline *t, const struct load_run *run,
                       const struct load_record *r)
{
    const double each = load_chunk_tokens(r);
    for (uint32_t i = 0; i < r->n_chunks; i++)
        t->tok_s[span_at(t, after_s(run, r->chunk_ns[i]))] += i ? each : 1;
    if (!r->n_chunks && r->n_output)            /* a whole reply: all at its end */
        t->tok_s[span_at(t, after_s(run, r->end_ns))] += (double)r->n_output;
}

static void add_running(struct load_timeline *t, double from_s, double to_s)
{
    for (size_t i = span_at(t, from_s); i <= span_at(t, to_s); i++) {
        const double begin = fmax(from_s, (double)i * t->span_s);
        const double end = fmin(to_s, (double)(i + 1) * t->span_s);
        if (end > begin) t->running[i] += end - begin;
    }
}

void load_timeline_make(struct load_timeline *out, const struct load_run *run)
{
    double length_s = 0;
    *out = (struct load_timeline){ 0 };
    for (size_t i = 0; i < run->n_records; i++)
        length_s = fmax(length_s, after_s(run, run->records[i].end_ns));
    if (length_s <= 0) return;

    out->span_s = span_of(length_s);
    out->n_spans = (size_t)ceil(length_s / out->span_s);
    if (out->n_spans > TIMELINE_MAX_SPANS) out->n_spans = TIMELINE_MAX_SPANS;
    for (size_t i = 0; i < run->n_records; i++) {
        const struct load_record *r = &run->records[i];
        add_tokens(out, run, r);
        add_running(out, after_s(run, r->send_ns), after_s(run, r->end_ns));
    }
    for (size_t i = 0; i < out->n_spans; i++) {
        /* the last span ends with the run */
        const double span = fmin(out->span_s, length_s - (double)i * out->span_s);
        out->tok_s[i] /= span > 0 ? span : out->span_s;
        out->running[i] /= span > 0 ? span : out->span_s;
    }
}
