#include "cli/load/report.h"

#include <stdlib.h>
#include <string.h>

static pl_status read_report(json_t **out, const char *path, pl_err *err)
{
    json_error_t why;
    json_t *report = json_load_file(path, 0, &why);
    const char *kind = json_string_value(json_object_get(report, "kind"));
    *out = NULL;
    if (!report && json_error_code(&why) == json_error_cannot_open_file)
        return pl_fail(err, PL_E_IO, "%s: cannot be read", path);
    if (!report) return pl_fail(err, PL_E_PARAM, "%s:%d: %s", path, why.line, why.text);
    if (!kind || strcmp(kind, "load")) {
        json_decref(report);
        return pl_fail(err, PL_E_PARAM, "%s: not a report of paceline load --json", path);
    }
    *out = report;
    return PL_OK;
}

static const char *time_of(const json_t *report)
{
    const char *time = json_string_value(json_object_get(report, "time"));
    return time ? time : "unknown time";
}

/* Settings that differ, so that nobody compares what cannot be compared unawares. */
static void print_settings(FILE *to, const json_t *a, const json_t *b)
{
    const char *name;
    const json_t *value;
    json_t *all = json_object();
    json_object_update(all, json_object_get(a, "settings"));
    json_object_update_missing(all, json_object_get(b, "settings"));
    json_object_set(all, "model", json_object_get(a, "model"));
    json_object_foreach(all, name, value) {
        const bool is_model = !strcmp(name, "model");
        const json_t *x = json_object_get(is_model ? a : json_object_get(a, "settings"), name);
        const json_t *y = json_object_get(is_model ? b : json_object_get(b, "settings"), name);
        if (json_equal(x, y)) continue;
        char *text_x = x ? json_dumps(x, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
        char *text_y = y ? json_dumps(y, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
        fprintf(to, "  %-22s A %s   B %s\n", name, text_x ? text_x : "-", text_y ? text_y : "-");
        free(text_x);
        free(text_y);
    }
    json_decref(all);
}

static void print_value(FILE *to, const json_t *v, double scale)
{
    if (json_is_number(v)) fprintf(to, " %12.2f", json_number_value(v) * scale);
    else fprintf(to, " %12s", "-");
}

static void print_row(FILE *to, const char *name, const json_t *a, const json_t *b, double scale)
{
    fprintf(to, "%-34s", name);
    print_value(to, a, scale);
    print_value(to, b, scale);
    if (json_is_number(a) && json_is_number(b) && json_number_value(a) > 0)
        fprintf(to, " %8.3f\n", json_number_value(b) / json_number_value(a));
    else
        fprintf(to, " %8s\n", "-");
}

static void print_latencies(FILE *to, const json_t *a, const json_t *b)
{
    static const char *const parts[] = { "mean", "p50", "p90", "p95", "p99", "max" };
    for (int i = 0; i < LOAD_N_FIGURES; i++) {
        const json_t *x = json_object_get(a, load_figure_names[i].key);
        const json_t *y = json_object_get(b, load_figure_names[i].key);
        if (!json_is_object(x) && !json_is_object(y)) continue;
        for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
            char name[64];
            snprintf(name, sizeof name, "%s %s, ms", load_figure_names[i].name, parts[k]);
            print_row(to, name, json_object_get(x, parts[k]), json_object_get(y, parts[k]), 1e3);
        }
    }
}

static void print_both(FILE *to, const json_t *a, const json_t *b)
{
    static const char *const rates[][2] = {
        { "wall_s", "wall time, s" }, { "requests_per_s", "requests/s" },
        { "output_tok_s", "output tok/s" }, { "total_tok_s", "total tok/s" },
        { "prompt_tokens", "prompt tokens" }, { "output_tokens", "output tokens" },
    };
    static const char *const counts[] = { "ok", "failed", "dropped" };

    fprintf(to, "%-34s %12s %12s %8s\n", "", "A", "B", "B/A");
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        char name[32];
        snprintf(name, sizeof name, "requests %s", counts[i]);
        print_row(to, name, json_object_get(json_object_get(a, "requests"), counts[i]),
                  json_object_get(json_object_get(b, "requests"), counts[i]), 1);
    }
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
        print_row(to, rates[i][1], json_object_get(a, rates[i][0]), json_object_get(b, rates[i][0]),
                  1);
    print_latencies(to, a, b);
}

pl_status load_compare(FILE *to, const char *path_a, const char *path_b, pl_err *err)
{
    json_t *a = NULL, *b = NULL;
    pl_status st = read_report(&a, path_a, err);
    if (!st) st = read_report(&b, path_b, err);
    if (!st) {
        fprintf(to, "A  %s (%s)\nB  %s (%s)\n", path_a, time_of(a), path_b, time_of(b));
        print_settings(to, a, b);
        print_both(to, a, b);
    }
    json_decref(a);
    json_decref(b);
    return st;
}
