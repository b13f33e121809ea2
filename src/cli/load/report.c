#include "cli/load/report.h"

#include <inttypes.h>

void load_describe_loop(const struct load_options *o, char *out, size_t n_out)
{
    char number[48] = "", seconds[48] = "";
    if (o->n_requests) snprintf(number, sizeof number, ", %" PRIu64 " requests", o->n_requests);
    if (o->duration_s > 0) snprintf(seconds, sizeof seconds, ", for %g s", o->duration_s);
    if (load_is_open(o))
        snprintf(out, n_out, "open loop, %g requests/s arriving at random (seed %" PRIu64
                 "), at most %u in flight%s%s", o->rate, o->seed, o->max_in_flight, number,
                 seconds);
    else
        snprintf(out, n_out, "closed loop, %u at a time%s%s", o->concurrency, number, seconds);
}

static void print_head(FILE *to, const struct load_result *r)
{
    const struct load_options *o = r->o;
    char text[256];
    fprintf(to, "server     %s, /v1/%s, model %s\n", o->base_url,
            o->is_chat ? "chat/completions" : "completions", o->model);
    load_describe_loop(o, text, sizeof text);
    fprintf(to, "load       %s, %s\n", text, o->stream ? "streaming" : "not streaming");
    load_prompts_describe(o->prompts, text, sizeof text);
    fprintf(to, "prompts    %s; ", text);
    if (o->max_tokens) fprintf(to, "at most %u tokens generated", o->max_tokens);
    else fprintf(to, "as many tokens generated as the server does");
    fprintf(to, "%s\n", o->ignore_eos ? ", end tokens ignored" : "");
}

static void print_counts(FILE *to, const struct load_result *r)
{
    const struct load_figures *f = r->figures;
    fprintf(to, "requests   %" PRIu64 " ok, %" PRIu64 " failed", f->n_ok, f->n_failed);
    if (f->n_dropped) fprintf(to, ", %" PRIu64 " dropped while running", f->n_dropped);
    if (r->run->n_warmup)
        fprintf(to, "; before these %" PRIu64 " to warm up (%" PRIu64 " failed), not counted",
                r->run->n_warmup, r->run->n_warmup_failed);
    fprintf(to, "%s\n", r->run->was_interrupted ? "; INTERRUPTED" : "");
    fprintf(to, "wall time  %.2f s, %.2f requests/s\n", f->wall_s, f->requests_per_s);
    fprintf(to, "tokens     %" PRIu64 " prompt (%" PRIu64 " cached), %" PRIu64 " output: "
            "%.1f output tok/s, %.1f total tok/s\n", f->n_prompt, f->n_cached, f->n_output,
            f->output_tok_s, f->total_tok_s);
    if (f->n_without_usage)
        fprintf(to, "           %" PRIu64 " replies without usage: output counted as chunks, "
                "prompts not at all\n", f->n_without_usage);
    if (f->n_not_streamed)
        fprintf(to, "           %" PRIu64 " replies came whole though a stream was asked for\n",
                f->n_not_streamed);
}

static void print_latencies(FILE *to, const struct load_result *r)
{
    fprintf(to, "\n%-26s %9s %9s %9s %9s %9s %9s\n",
            load_is_open(r->o) ? "ms, from scheduled arrival" : "ms, from send", "mean", "p50",
            "p90", "p95", "p99", "max");
    for (int i = 0; i < LOAD_N_FIGURES; i++) {
        const struct load_summary *s = &r->figures->summary[i];
        if (load_figure_names[i].is_of_open_loop && !load_is_open(r->o)) continue;
        fprintf(to, "%-26s ", load_figure_names[i].name);
        if (s->n)
            fprintf(to, "%9.2f %9.2f %9.2f %9.2f %9.2f %9.2f\n", s->mean * 1e3, s->p50 * 1e3,
                    s->p90 * 1e3, s->p95 * 1e3, s->p99 * 1e3, s->max * 1e3);
        else
            fprintf(to, "%9s %9s %9s %9s %9s %9s\n", "-", "-", "-", "-", "-", "-");
    }
}

static void print_errors(FILE *to, const struct load_figures *f)
{
    if (f->n_errors) fprintf(to, "\nerrors\n");
    for (size_t i = 0; i < f->n_errors; i++) {
        const struct load_error *e = &f->errors[i];
        char name[32];
        load_error_name(e, name, sizeof name);
        fprintf(to, "%7" PRIu64 "  %s%s%s", e->n, name, *e->message ? ": " : "", e->message);
        if (e->retry_after_s >= 0) fprintf(to, " (Retry-After up to %g s)", e->retry_after_s);
        fprintf(to, "\n");
    }
}

void load_report_print(FILE *to, const struct load_result *r)
{
    print_head(to, r);
    print_counts(to, r);
    print_latencies(to, r);
    print_errors(to, r->figures);
}
