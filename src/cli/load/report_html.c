#include "cli/load/report.h"

#include "cli/load/timeline.h"
#include "cli/report.h"

#include <stdlib.h>

enum { PLOT_POINTS = 300 };

/* ---- tables --------------------------------------------------------------------------------- */

static json_t *text_cell(const char *format, double value)
{
    char text[48];
    snprintf(text, sizeof text, format, value);
    return json_string(text);
}

static void add_row(json_t *rows, const char *name, json_t *value)
{
    json_array_append_new(rows, json_pack("[s o]", name, value));
}

static json_t *counts_table(const struct load_result *r)
{
    const struct load_figures *f = r->figures;
    json_t *rows = json_array();
    add_row(rows, "requests ok", json_integer((json_int_t)f->n_ok));
    add_row(rows, "requests failed", json_integer((json_int_t)f->n_failed));
    if (f->n_dropped)
        add_row(rows, "dropped while running, at the interruption",
                json_integer((json_int_t)f->n_dropped));
    add_row(rows, "to warm up, not counted", json_integer((json_int_t)r->run->n_warmup));
    add_row(rows, "wall time, s", text_cell("%.2f", f->wall_s));
    add_row(rows, "requests/s", text_cell("%.3f", f->requests_per_s));
    add_row(rows, "output tok/s", text_cell("%.1f", f->output_tok_s));
    add_row(rows, "total tok/s, prompts included", text_cell("%.1f", f->total_tok_s));
    add_row(rows, "prompt tokens", json_integer((json_int_t)f->n_prompt));
    add_row(rows, "of these cached", json_integer((json_int_t)f->n_cached));
    add_row(rows, "output tokens", json_integer((json_int_t)f->n_output));
    return json_pack("{s:o}", "rows", rows);
}

static json_t *latency_table(const struct load_result *r)
{
    json_t *rows = json_array();
    for (int i = 0; i < LOAD_N_FIGURES; i++) {
        const struct load_summary *s = &r->figures->summary[i];
        const double values[] = { s->mean, s->p50, s->p90, s->p95, s->p99, s->max };
        if (load_figure_names[i].is_of_open_loop && !load_is_open(r->o)) continue;
        json_t *row = json_pack("[s]", load_figure_names[i].name);
        for (size_t k = 0; k < sizeof values / sizeof *values; k++)
            json_array_append_new(row, s->n ? text_cell("%.2f", values[k] * 1e3) : json_null());
        json_array_append_new(rows, row);
    }
    return json_pack("{s:s s:[s s s s s s s] s:o}", "caption",
                     load_is_open(r->o) ? "milliseconds, from the scheduled arrival"
                                        : "milliseconds, from when a request is sent",
                     "head", "", "mean", "p50", "p90", "p95", "p99", "max", "rows", rows);
}

static json_t *error_table(const struct load_figures *f)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < f->n_errors; i++) {
        char name[32];
        load_error_name(&f->errors[i], name, sizeof name);
        json_array_append_new(rows, json_pack("[s I s]", name, (json_int_t)f->errors[i].n,
                                              f->errors[i].message));
    }
    return json_pack("{s:[s s s] s:o}", "head", "kind", "requests", "the first one's message",
                     "rows", rows);
}

/* ---- plots ---------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Values at even ranks of each of the samples, all in order: where the curves have their points. */
static size_t grid_of(const struct load_samples *const *samples, size_t n, double *grid)
{
    size_t n_grid = 0, n_kept = 0;
    for (size_t k = 0; k < n; k++) {
        const size_t n_points = samples[k]->n < PLOT_POINTS ? samples[k]->n : PLOT_POINTS;
        for (size_t i = 0; i < n_points; i++)
            grid[n_grid++] = samples[k]->at[n_points == 1 ? 0 : i * (samples[k]->n - 1) /
                                            (n_points - 1)].value;
    }
    if (n_grid) qsort(grid, n_grid, sizeof *grid, by_size);
    for (size_t i = 0; i < n_grid; i++)
        if (!i || grid[i] > grid[n_kept - 1]) grid[n_kept++] = grid[i];
    return n_kept;
}

/* Percent of the weight at or below each point. */
static json_t *shares_of(const struct load_samples *s, const double *grid, size_t n_grid)
{
    json_t *values = json_array();
    double total = 0, sum = 0;
    size_t at = 0;
    for (size_t i = 0; i < s->n; i++) total += s->at[i].weight;
    for (size_t i = 0; i < n_grid; i++) {
        while (at < s->n && s->at[at].value <= grid[i]) sum += s->at[at++].weight;
        json_array_append_new(values, total > 0 ? json_real(100 * sum / total) : json_null());
    }
    return values;
}

static json_t *numbers_json(const double *at, size_t n, double scale)
{
    json_t *values = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(values, json_real(at[i] * scale));
    return values;
}

static json_t *distribution_plot(const struct load_result *r, const char *caption,
                                 const char *y_label, const enum load_figure *figures, size_t n)
{
    const struct load_samples *samples[2];
    double grid[2 * PLOT_POINTS];
    json_t *series = json_array();

    for (size_t k = 0; k < n; k++) samples[k] = &r->figures->samples[figures[k]];
    const size_t n_grid = grid_of(samples, n, grid);
    for (size_t k = 0; k < n; k++)
        json_array_append_new(series, json_pack(
            "{s:s s:o s:b}", "label", load_figure_names[figures[k]].name, "values",
            shares_of(samples[k], grid, n_grid), "dash", k > 0));
    return json_pack("{s:s s:{s:s s:o} s:{s:s} s:o}", "caption", caption, "x", "label", "ms",
                     "values", numbers_json(grid, n_grid, 1e3), "y", "label", y_label, "series",
                     series);
}

static void add_distribution(json_t *plots, const struct load_result *r, const char *caption,
                             const char *y_label, enum load_figure first, enum load_figure second)
{
    const enum load_figure figures[] = { first, second };
    const size_t n = first != second && load_is_open(r->o) ? 2 : 1;
    if (r->figures->summary[first].n)
        json_array_append_new(plots, distribution_plot(r, caption, y_label, figures, n));
}

static json_t *distribution_plots(const struct load_result *r)
{
    json_t *plots = json_array();
    add_distribution(plots, r, "Time to first token: share of requests within so many milliseconds",
                     "% of requests", LOAD_TTFT, LOAD_TTFT_SENT);
    add_distribution(plots, r, "Inter-token latency: share of tokens", "% of tokens", LOAD_ITL,
                     LOAD_ITL);
    add_distribution(plots, r, "End to end: share of requests", "% of requests", LOAD_E2E,
                     LOAD_E2E_SENT);
    return plots;
}

static json_t *time_plot(const struct load_timeline *t, const char *caption, const char *label,
                         const double *values)
{
    json_t *at = json_array();
    for (size_t i = 0; i < t->n_spans; i++)
        json_array_append_new(at, json_real(((double)i + 0.5) * t->span_s));
    return json_pack("{s:s s:{s:s s:o} s:{s:s} s:[{s:s s:o}]}", "caption", caption, "x", "label",
                     "seconds after the beginning", "values", at, "y", "label", label, "series",
                     "label", label, "values", numbers_json(values, t->n_spans, 1));
}

static json_t *time_plots(const struct load_result *r)
{
    struct load_timeline *t = malloc(sizeof *t);
    json_t *plots = json_array();
    if (t) {
        load_timeline_make(t, r->run);
        if (t->n_spans) {
            json_array_append_new(plots, time_plot(t, "Throughput over time", "output tok/s",
                                                   t->tok_s));
            json_array_append_new(plots, time_plot(t, "Requests running over time", "requests",
                                                   t->running));
        }
    }
    free(t);
    return plots;
}

/* ---- the page ------------------------------------------------------------------------------- */

static json_t *sections(const struct load_result *r)
{
    static const char how[] =
        "Percentiles are nearest-rank. Inter-token latency is the time between two chunks of a "
        "reply, shared by the tokens of a chunk; time per output token is a request's mean of it. "
        "Token counts are the server's reported usage.";
    json_t *all = json_array();
    json_array_append_new(all, json_pack("{s:s s:[o]}", "heading", "Throughput", "tables",
                                         counts_table(r)));
    json_array_append_new(all, json_pack("{s:s s:[s] s:[o] s:o}", "heading", "Latency", "text", how,
                                         "tables", latency_table(r), "plots",
                                         distribution_plots(r)));
    json_array_append_new(all, json_pack("{s:s s:o}", "heading", "Over time", "plots",
                                         time_plots(r)));
    if (r->figures->n_errors)
        json_array_append_new(all, json_pack("{s:s s:[o]}", "heading", "Errors", "tables",
                                             error_table(r->figures)));
    return all;
}

pl_status load_report_html(const char *path, const struct load_result *r, pl_err *err)
{
    char loop[256], prompts[256], lead[640], made[96];
    load_describe_loop(r->o, loop, sizeof loop);
    load_prompts_describe(r->o->prompts, prompts, sizeof prompts);
    snprintf(lead, sizeof lead, "%s on %s: %s; prompts: %s%s", r->o->model, r->o->base_url, loop,
             prompts, r->run->was_interrupted ? ". Interrupted: what had ended by then" : "");
    snprintf(made, sizeof made, "paceline " PL_VERSION " load, %s", r->time);
    json_t *page = json_pack("{s:s s:s s:s s:o}", "title", "Load report", "lead", lead, "made",
                             made, "sections", sections(r));
    const pl_status st = page ? report_write(path, page, err)
                              : pl_fail(err, PL_E_MEMORY, "out of memory for the page");
    json_decref(page);
    return st;
}
