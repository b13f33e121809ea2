#include "cli/load/figures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct load_figure_name load_figure_names[LOAD_N_FIGURES] = {
    [LOAD_TTFT] = { "ttft_s", "time to first token", false },
    [LOAD_ITL] = { "itl_s", "inter-token latency", false },
    [LOAD_TPOT] = { "tpot_s", "time per output token", false },
    [LOAD_E2E] = { "e2e_s", "end to end", false },
    [LOAD_TTFT_SENT] = { "ttft_from_send_s", "first token, from send", true },
    [LOAD_E2E_SENT] = { "e2e_from_send_s", "end to end, from send", true },
    [LOAD_DELAY] = { "send_delay_s", "arrival until send", true },
};

static double seconds(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? (double)(to_ns - from_ns) * 1e-9 : 0;
}

double load_chunk_tokens(const struct load_record *r)
{
    if (!r->has_usage || r->n_chunks < 2 || r->n_output < 2) return 1;
    return (double)(r->n_output - 1) / (double)(r->n_chunks - 1);
}

/* ---- one request ---------------------------------------------------------------------------- */

static void add_latencies(struct load_figures *f, const struct load_record *r)
{
    struct load_samples *s = f->samples;
    if (r->n_chunks) {
        load_samples_add(&s[LOAD_TTFT], seconds(r->scheduled_ns, r->chunk_ns[0]), 1);
        load_samples_add(&s[LOAD_TTFT_SENT], seconds(r->send_ns, r->chunk_ns[0]), 1);
    }
    load_samples_add(&s[LOAD_E2E], seconds(r->scheduled_ns, r->end_ns), 1);
    load_samples_add(&s[LOAD_E2E_SENT], seconds(r->send_ns, r->end_ns), 1);
    load_samples_add(&s[LOAD_DELAY], seconds(r->scheduled_ns, r->send_ns), 1);
    if (r->n_chunks < 2) return;

    const double each = load_chunk_tokens(r);
    for (uint32_t i = 1; i < r->n_chunks; i++)
        load_samples_add(&s[LOAD_ITL], seconds(r->chunk_ns[i - 1], r->chunk_ns[i]) / each, each);
    load_samples_add(&s[LOAD_TPOT], seconds(r->chunk_ns[0], r->chunk_ns[r->n_chunks - 1]) /
                     (each * (r->n_chunks - 1)), 1);
}

static void add_ok(struct load_figures *f, const struct load_record *r, bool wants_stream)
{
    f->n_ok++;
    f->n_without_usage += !r->has_usage;
    f->n_not_streamed += wants_stream && !r->is_streamed;
    f->n_prompt += r->n_prompt;
    f->n_cached += r->n_cached;
    f->n_output += r->n_output;
    add_latencies(f, r);
}

static void add_error(struct load_figures *f, const struct load_record *r)
{
    size_t i = 0;
    const int status = r->outcome == LOAD_HTTP ? r->status : 0;
    while (i < f->n_errors &&
           (f->errors[i].outcome != r->outcome || f->errors[i].status != status)) i++;
    if (i == LOAD_MAX_ERRORS) i--;
    struct load_error *e = &f->errors[i];
    if (i == f->n_errors) {
        *e = (struct load_error){ r->outcome, status, 0, r->message ? r->message : "", -1 };
        f->n_errors++;
    }
    e->n++;
    if (r->retry_after_s > e->retry_after_s) e->retry_after_s = r->retry_after_s;
}

/* ---- all of them ---------------------------------------------------------------------------- */

static int by_number(const void *a, const void *b)
{
    const uint64_t x = ((const struct load_error *)a)->n, y = ((const struct load_error *)b)->n;
    return (x < y) - (x > y);
}

static void set_rates(struct load_figures *f, uint64_t first_ns, uint64_t last_ns)
{
    f->wall_s = seconds(first_ns, last_ns);
    if (f->wall_s <= 0) return;
    f->requests_per_s = (double)f->n_ok / f->wall_s;
    f->output_tok_s = (double)f->n_output / f->wall_s;
    f->total_tok_s = (double)(f->n_prompt + f->n_output) / f->wall_s;
}

pl_status load_figures_make(struct load_figures *out, const struct load_run *run,
                            const struct load_options *o, pl_err *err)
{
    uint64_t first_ns = UINT64_MAX, last_ns = 0;
    bool has_room = true;

    *out = (struct load_figures){ 0 };
    for (size_t i = 0; i < run->n_records; i++) {
        const struct load_record *r = &run->records[i];
        if (r->send_ns < first_ns) first_ns = r->send_ns;
        if (r->outcome == LOAD_DROPPED) {
            out->n_dropped++;
            continue;
        }
        if (r->end_ns > last_ns) last_ns = r->end_ns;
        if (r->outcome == LOAD_OK) {
            add_ok(out, r, o->stream);
        } else {
            out->n_failed++;
            add_error(out, r);
        }
    }
    set_rates(out, first_ns, last_ns);
    qsort(out->errors, out->n_errors, sizeof *out->errors, by_number);
    for (int i = 0; i < LOAD_N_FIGURES; i++) {
        has_room &= !out->samples[i].failed;
        out->summary[i] = load_samples_summarise(&out->samples[i]);
    }
    return has_room ? PL_OK : pl_fail(err, PL_E_MEMORY, "out of memory for the report");
}

void load_figures_free(struct load_figures *f)
{
    for (int i = 0; i < LOAD_N_FIGURES; i++) load_samples_free(&f->samples[i]);
    *f = (struct load_figures){ 0 };
}

void load_error_name(const struct load_error *e, char *out, size_t n_out)
{
    static const char *const names[LOAD_N_OUTCOMES] = {
        [LOAD_CONNECT] = "no connection", [LOAD_TIMEOUT] = "timeout", [LOAD_HTTP] = "HTTP",
        [LOAD_CUT] = "cut stream", [LOAD_BAD_REPLY] = "bad reply",
        [LOAD_ERROR_EVENT] = "error in the reply",
    };
    if (e->outcome == LOAD_HTTP) snprintf(out, n_out, "HTTP %d", e->status);
    else snprintf(out, n_out, "%s", names[e->outcome]);
}
