#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/plan/json.h"

static const double GIB = 1073741824.0;

/* A column of a table made of an array of rows. */
struct column {
    const char *key, *head;
    enum { AS_TEXT, AS_WHOLE, AS_TENTHS, AS_HUNDREDTHS, AS_YES } as;
};

static json_t *vtext(const char *format, va_list args)
{
    char text[512];
    vsnprintf(text, sizeof text, format, args);
    return json_string(text);
}

__attribute__((format(printf, 1, 2))) static json_t *text(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    json_t *result = vtext(format, args);
    va_end(args);
    return result;
}

static json_t *cell_of(const json_t *row, const struct column *c)
{
    const json_t *value = json_object_get(row, c->key);
    if (!value) return json_null();
    const double x = json_number_value(value);
    switch (c->as) {
    case AS_WHOLE: return text("%.0f", x);
    case AS_TENTHS: return text("%.1f", x);
    case AS_HUNDREDTHS: return text("%.2f", x);
    case AS_YES: return json_string(json_is_true(value) ? "yes" : "no");
    default: return json_copy((json_t *)(uintptr_t)value);
    }
}

static bool has_values(const json_t *rows, const struct column *c)
{
    for (size_t i = 0; i < json_array_size(rows); i++)
        if (json_object_get(json_array_get(rows, i), c->key)) return true;
    return false;
}

/* Columns of which no row has a value are left out. */
static json_t *table_of(const json_t *rows, const struct column *columns, size_t n_columns)
{
    json_t *head = json_array(), *body = json_array();
    for (size_t i = 0; i < n_columns; i++)
        if (has_values(rows, &columns[i]))
            json_array_append_new(head, json_string(columns[i].head));
    for (size_t r = 0; r < json_array_size(rows); r++) {
        json_t *cells = json_array();
        for (size_t i = 0; i < n_columns; i++)
            if (has_values(rows, &columns[i]))
                json_array_append_new(cells, cell_of(json_array_get(rows, r), &columns[i]));
        json_array_append_new(body, cells);
    }
    return json_pack("{s:o s:o}", "head", head, "rows", body);
}

#define TABLE(rows, ...)                                                                           \
    table_of(rows, (const struct column[]){ __VA_ARGS__ },                                         \
             sizeof((const struct column[]){ __VA_ARGS__ }) / sizeof(struct column))

/* Takes what is given (each may be NULL) over. */
static void add_section(json_t *sections, const char *heading, json_t *lines, json_t *table,
                        json_t *plot)
{
    json_t *section = json_pack("{s:s}", "heading", heading);
    if (lines) json_object_set_new(section, "text", lines);
    if (table) json_object_set_new(section, "tables", json_pack("[o]", table));
    if (plot) json_object_set_new(section, "plots", json_pack("[o]", plot));
    json_array_append_new(sections, section);
}

static json_t *values_of(const json_t *rows, const char *key)
{
    json_t *values = json_array();
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_t *value = json_object_get(json_array_get(rows, i), key);
        json_array_append(values, value ? value : json_null());
    }
    return values;
}

static json_t *plot_of(const json_t *rows, const char *caption, const char *x, const char *x_label,
                       const char *y_label, const char *y1, const char *y1_label, const char *y2,
                       const char *y2_label)
{
    json_t *series = json_pack("[{s:s s:o}]", "label", y1_label, "values", values_of(rows, y1));
    if (y2)
        json_array_append_new(series, json_pack("{s:s s:o s:b}", "label", y2_label, "values",
                                                values_of(rows, y2), "dash", 1));
    return json_pack("{s:s s:{s:s s:o} s:{s:s} s:o}", "caption", caption, "x", "label", x_label,
                     "values", values_of(rows, x), "y", "label", y_label, "series", series);
}

/* ---- sections ------------------------------------------------------------------------------- */

static double number(const json_t *plan, const char *part, const char *key)
{
    return json_number_value(json_object_get(json_object_get(plan, part), key));
}

static void add_memory_row(json_t *rows, const char *what, double bytes, json_t *note)
{
    json_array_append_new(rows,
                          json_pack("[s o s o]", what, text("%.2f", bytes / GIB), "GiB", note));
}

static void add_what_fits(json_t *sections, const json_t *plan, double missing_bytes)
{
    const json_t *rows = json_object_get(plan, "alternatives");
    const char *first =
        json_string_value(json_object_get(json_array_get(rows, 0), "change"));
    const char *what = !first ? "No model of the presets fits: more memory is wanted."
                       : strncmp(first, "--model", 7) ? "These do fit:"
                       : "No number of streams of this model fits; these models do fit:";
    add_section(sections, "It does not fit",
                json_pack("[o]", text("%.2f GiB are missing. %s", missing_bytes / GIB, what)),
                first ? TABLE(rows, { "change", "with", AS_TEXT },
                              { "total_gib", "total GiB", AS_HUNDREDTHS },
                              { "tok_s", "tok/s", AS_TENTHS }) : NULL, NULL);
}

static json_t *kv_note(const json_t *plan, const struct shape *shape)
{
    const double gib_a_stream = number(plan, "memory", "kv_bytes_per_stream") / GIB;
    if (number(plan, "memory", "window_kv_bytes") > 0)
        return text("%.2f GiB a stream, windows in %u/%u layers", gib_a_stream,
                    shape->n_window_layers, shape->n_layers);
    if (shape->n_state_layers)
        return text("%.1f KiB a token; states of %.1f MiB, %.0f for each stream and 4",
                    number(plan, "memory", "kv_bytes_per_token") / 1024,
                    shape->state_bytes / 1048576, kv_states(1) - kv_states(0));
    return text("%.1f KiB a token, %.2f GiB a stream",
                number(plan, "memory", "kv_bytes_per_token") / 1024, gib_a_stream);
}

static void add_memory(json_t *sections, const json_t *plan, const struct plan_subject *s)
{
    const char *source =
        json_string_value(json_object_get(json_object_get(plan, "memory"), "source"));
    const double headroom = number(plan, "memory", "headroom_bytes");
    json_t *rows = json_array();

    add_memory_row(rows, "weights", number(plan, "memory", "weights_bytes"),
                   text("%.2f GB", number(plan, "memory", "weights_bytes") * 1e-9));
    add_memory_row(rows, "KV", number(plan, "memory", "kv_bytes"),
                   kv_note(plan, &s->shape));
    add_memory_row(rows, "scratch", number(plan, "memory", "scratch_bytes"), text("%s", ""));
    add_memory_row(rows, "streams, vocabulary", number(plan, "memory", "other_bytes"),
                   text("%s", ""));
    add_memory_row(rows, "total", number(plan, "memory", "total_bytes"), text("%s", source));
    add_memory_row(rows, "usable", s->machine.usable_bytes,
                   s->machine.usable_bytes > s->machine.memory_bytes
                       ? text("given") : text("of %.1f GiB", s->machine.memory_bytes / GIB));
    add_memory_row(rows, headroom >= 0 ? "headroom" : "missing",
                   headroom >= 0 ? headroom : -headroom, text("%s", ""));
    json_t *lines = json_pack("[o o]",
        text("%u streams of %u tokens each.", s->load.n_streams, s->load.ctx_tokens),
        text("Usable: %s%s.", s->machine.memory_source,
             s->is_this_machine || s->is_given || !estimate_backend_is_metal(s->machine.backend)
                 ? "" : "; iogpu.wired_limit_mb raises it"));
    add_section(sections, "Memory", lines, json_pack("{s:o}", "rows", rows), NULL);
    if (headroom < 0) add_what_fits(sections, plan, -headroom);
}

/* What a backend's column rule adds, which the figures above have in them. */
static void add_columns_line(json_t *lines, const struct plan_subject *s)
{
    const uint32_t n = s->load.n_streams;
    const uint32_t computed = columns_computed(s->machine.backend, n);
    if (computed == n) return;
    json_array_append_new(lines,
        text("Products compute %u columns as %u there, %.2f times the arithmetic, which these "
             "figures include; the other %u cost a prompt nothing.", n, computed,
             (double)computed / n,
             computed - n));
}

/* Where the figures are of a backend that is not chosen by itself. */
static void add_default_line(json_t *lines, const json_t *plan)
{
    const json_t *other = json_object_get(json_object_get(plan, "step"), "by_default");
    if (json_is_object(other))
        json_array_append_new(lines,
            text("The backend that is chosen by itself there, %s: %.1f tok/s.",
                 json_string_value(json_object_get(other, "backend")),
                 json_number_value(json_object_get(other, "tok_s"))));
}

static void add_split_line(json_t *lines, const json_t *split)
{
    if (!json_is_object(split)) return;
    const double gain = json_number_value(json_object_get(split, "gain"));
    const double most = json_number_value(json_object_get(split, "most_crossing_us"));
    json_array_append_new(lines, gain > 1 ?
        text("Not built: %.0f %% of all rows on the CPU's cores would make it %.0f tok/s, %.2f "
             "times, at 4 us for each of four hand-overs a layer; from %.0f us on it would lose.",
             100 * json_number_value(json_object_get(split, "cpu_share")),
             json_number_value(json_object_get(split, "tok_s")), gain, most) :
        text("Not built: rows on the CPU's cores would bring nothing here."));
    const json_t *sme = json_object_get(split, "sme");
    if (json_is_object(sme))
        json_array_append_new(lines,
            text("By the clusters' matrix units (SME, 2 TMAC/s each as measured by others; columns "
                 "in 16s, K-quants in two planes: %.1f TMAC/s of use): %.0f tok/s, %.2f times.",
                 1e-3 * json_number_value(json_object_get(sme, "useful_gmac_s")),
                 json_number_value(json_object_get(sme, "tok_s")),
                 json_number_value(json_object_get(sme, "gain"))));
}

static void add_step(json_t *sections, const json_t *plan, const struct plan_subject *s)
{
    const json_t *step = json_object_get(plan, "step");
    const json_t *ridge = json_object_get(step, "ridge_streams");
    const char *caveat = plan_backend(s).caveat;
    json_t *lines = json_array();
    if (*s->busy)
        json_array_append_new(lines,
            text("This machine is busy (%s): the limits measured now are too low, and so is every "
                 "speed here.", s->busy));
    json_array_append_new(lines,
        text("%u streams with %u tokens of context each: %.1f tok/s in all, %.1f each; %s bind%s "
             "(%s%s).",
             s->load.n_streams, s->depth, number(plan, "step", "tok_s"),
             number(plan, "step", "tok_s_stream"),
             json_string_value(json_object_get(step, "bound")),
             strcmp(json_string_value(json_object_get(step, "bound")), "arithmetic") ? "" : "s",
             caveat ? "modelled; " : "modelled", caveat ? caveat : ""));
    json_array_append_new(lines,
        text("Time to first token of a prompt of %u tokens: %.2f s alone, %.2f s beside %u running "
             "streams.", s->prompt_tokens, number(plan, "step", "prefill_s"),
             number(plan, "step", "busy_prefill_s"), s->load.n_streams - 1));
    json_array_append_new(lines, !json_is_number(ridge) ?
        text("Reading the weights takes longer than arithmetic at any number of streams.") :
        json_number_value(ridge) < 1 ?
        text("Arithmetic takes longer than reading the weights at any number of streams.") :
        text("Arithmetic overtakes weight reads at %.0f streams.", json_number_value(ridge)));
    add_columns_line(lines, s);
    add_default_line(lines, plan);
    add_split_line(lines, json_object_get(step, "split"));
    add_section(sections, "A step (modelled)", lines,
                json_pack("{s:[s s s s s] s:[[o o o o o]]}", "head", "arithmetic ms",
                          "weight reads ms", "KV reads ms", "launches ms", "step ms", "rows",
                          text("%.2f", number(plan, "step", "arithmetic_ms")),
                          text("%.2f", number(plan, "step", "weights_ms")),
                          text("%.2f", number(plan, "step", "kv_ms")),
                          text("%.2f", number(plan, "step", "launches_ms")),
                          text("%.2f", number(plan, "step", "step_ms"))), NULL);
}

/* The rows of machines with "backend_mark": the backend, and a star for a caveat. */
static json_t *marked(const json_t *all)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < json_array_size(all); i++) {
        json_t *row = json_copy(json_array_get(all, i));
        const bool is_there = json_is_true(json_object_get(row, "backend_available"));
        const bool is_default = json_is_true(json_object_get(row, "backend_default"));
        json_object_set_new(row, "backend_mark",
                            text("%s%s", json_string_value(json_object_get(row, "backend")),
                                 !is_there ? ": none" : is_default ? "" : " *"));
        json_array_append_new(rows, row);
    }
    return rows;
}

static json_t *marks_explained(void)
{
    return json_pack("[s, s]",
                     "first s: until the first token. GiB: usable. Titles and sources: paceline "
                     "plan --list.",
                     "none: this version has no such backend, and the figures are what one could "
                     "reach. *: never chosen by itself, only by name.");
}

static void add_tables(json_t *sections, const json_t *plan)
{
    const json_t *streams = json_object_get(plan, "streams");
    const json_t *contexts = json_object_get(plan, "contexts");
    const json_t *quantisations = json_object_get(plan, "quantisations");
    const json_t *heat = json_object_get(plan, "heat");

    add_section(sections, "Streams (modelled)", NULL,
                TABLE(streams, { "streams", "streams", AS_WHOLE }, { "tok_s", "tok/s", AS_TENTHS },
                      { "tok_s_stream", "each", AS_TENTHS }, { "step_ms", "step ms", AS_TENTHS },
                      { "bound", "binds", AS_TEXT }, { "total_gib", "GiB", AS_HUNDREDTHS },
                      { "fits", "fits", AS_YES }, { "note", "", AS_TEXT }),
                plot_of(streams, "Tokens a second by number of streams", "streams", "streams",
                        "tok/s", "tok_s", "all streams", "tok_s_stream", "each stream"));
    if (json_array_size(contexts))
        add_section(sections, "Context, every stream's full (modelled)", NULL,
                    TABLE(contexts, { "ctx_tokens", "tokens", AS_WHOLE },
                          { "kv_gib", "KV GiB", AS_HUNDREDTHS },
                          { "total_gib", "total GiB", AS_HUNDREDTHS }, { "fits", "fits", AS_YES },
                          { "most_streams", "streams that fit", AS_WHOLE },
                          { "tok_s", "tok/s", AS_TENTHS }, { "bound", "binds", AS_TEXT }),
                    plot_of(contexts, "Tokens a second by context", "ctx_tokens",
                            "tokens of context of each stream", "tok/s", "tok_s", "all streams",
                            NULL, NULL));
    add_section(sections, "KV types (modelled)", NULL,
                TABLE(json_object_get(plan, "kv_types"), { "k", "K", AS_TEXT },
                      { "v", "V", AS_TEXT },
                      { "kv_gib", "KV GiB", AS_HUNDREDTHS },
                      { "total_gib", "total GiB", AS_HUNDREDTHS }, { "fits", "fits", AS_YES },
                      { "most_streams", "streams that fit", AS_WHOLE },
                      { "tok_s", "tok/s", AS_TENTHS }), NULL);
    if (json_array_size(quantisations))
        add_section(sections, "Quantisations (modelled)",
                    json_pack("[s]", "Perplexity: Qwen2-7B-Instruct on wikitext, as its publisher "
                                     "measured it; other models lose other amounts."),
                    TABLE(quantisations, { "quantisation", "", AS_TEXT },
                          { "weights_gib", "weights GiB", AS_HUNDREDTHS },
                          { "total_gib", "total GiB", AS_HUNDREDTHS }, { "fits", "fits", AS_YES },
                          { "tok_s", "tok/s", AS_TENTHS },
                          { "perplexity", "perplexity", AS_HUNDREDTHS }), NULL);
    json_t *others = marked(json_object_get(plan, "machines"));
    add_section(sections, "Machines (modelled)", marks_explained(),
                TABLE(others, { "machine", "name", AS_TEXT },
                      { "tok_s", "tok/s", AS_TENTHS }, { "prefill_s", "first s", AS_HUNDREDTHS },
                      { "bound", "binds", AS_TEXT }, { "usable_gib", "GiB", AS_TENTHS },
                      { "fits", "fits", AS_YES }, { "backend_mark", "backend", AS_TEXT },
                      { "price", "price", AS_WHOLE },
                      { "price_per_tok_s", "per tok/s", AS_HUNDREDTHS }), NULL);
    json_decref(others);
    if (json_array_size(heat))
        add_section(sections, "Sustained, by the given derating", NULL,
                    TABLE(heat, { "minute", "minutes", AS_TENTHS },
                          { "share", "share", AS_HUNDREDTHS },
                          { "tok_s", "tok/s", AS_TENTHS }),
                    plot_of(heat, "Tokens a second under lasting load", "minute", "minutes",
                            "tok/s", "tok_s", "all streams", NULL, NULL));
}

json_t *plan_report(const struct plan_subject *s, const json_t *plan, bool explain)
{
    json_t *sections = json_array();
    char day[32];
    const time_t now = time(NULL);
    struct tm local;

    add_memory(sections, plan, s);
    add_step(sections, plan, s);
    add_tables(sections, plan);
    if (explain)
        add_section(sections, "How each figure comes about", plan_formulas(s), NULL, NULL);
    strftime(day, sizeof day, "%Y-%m-%d", localtime_r(&now, &local));
    return json_pack("{s:o s:o s:o s:o}", "title",
                     text("%s %s, %u streams", s->is_file ? s->file.model_name : s->shape.name,
                          plan_quantisation(s, &s->load), s->load.n_streams),
                     "lead",
                     text("%s: %.0f GMAC/s, %.0f GB/s %s; %.2f B weights", s->machine.title,
                          s->rates.macs_per_s * 1e-9, s->rates.read_bytes_per_s * 1e-9,
                          s->is_measured ? "of limits measured now"
                          : estimate_backend_traits(s->machine.backend)->is_there ? "modelled"
                          : "modelled, no backend for it yet",
                          number(plan, "model", "parameters") * 1e-9),
                     "sections", sections, "made", text("paceline " PL_VERSION ", %s", day));
}
