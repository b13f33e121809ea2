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
    json_array_append_new(rows, json_pack("[s o s o]", what, text("%.2f", bytes / GIB), "GiB", note));
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
                   text("%.1f KiB a token, %.2f GiB a stream of %u tokens, %u streams",
                        number(plan, "memory", "kv_bytes_per_token") / 1024,
                        number(plan, "memory", "kv_bytes_per_stream") / GIB, s->load.ctx_tokens,
                        s->load.n_streams));
    add_memory_row(rows, "scratch", number(plan, "memory", "scratch_bytes"), text("%s", ""));
    add_memory_row(rows, "streams, vocabulary", number(plan, "memory", "other_bytes"),
                   text("%s", ""));
    add_memory_row(rows, "total", number(plan, "memory", "total_bytes"), text("%s", source));
    add_memory_row(rows, "usable", s->machine.usable_bytes,
                   text("of %.1f GiB%s", s->machine.memory_bytes / GIB,
                        s->machine.kind == MACHINE_APPLE ? ": what macOS lets the GPU wire unless "
                                                           "iogpu.wired_limit_mb raises it" : ""));
    add_memory_row(rows, headroom >= 0 ? "headroom" : "missing",
                   headroom >= 0 ? headroom : -headroom, text("%s", ""));
    add_section(sections, "Memory", NULL, json_pack("{s:o}", "rows", rows), NULL);
    if (headroom < 0)
        add_section(sections, "It does not fit",
                    json_pack("[o]", text("%.2f GiB are missing. By one change each, these do fit:",
                                          -headroom / GIB)),
                    TABLE(json_object_get(plan, "alternatives"), { "change", "with", AS_TEXT },
                          { "total_gib", "total GiB", AS_HUNDREDTHS },
                          { "tok_s", "tok/s", AS_TENTHS }), NULL);
}

/* What the products of this engine's Metal backend add to the arithmetic (docs/metal.md): fragments
 * of eight columns, of which those that no stream has may as well be a prompt's. */
static void add_columns_line(json_t *lines, const struct plan_subject *s)
{
    enum { FRAGMENT = 8, WITHOUT_FRAGMENTS = 4 };
    const uint32_t n = s->load.n_streams, computed = (n + FRAGMENT - 1) / FRAGMENT * FRAGMENT;
    if (s->machine.kind != MACHINE_APPLE || n <= WITHOUT_FRAGMENTS || computed == n) return;
    json_array_append_new(lines,
        text("Products take columns in eights there: %u as %u, %.2f times the arithmetic above; the "
             "other %u cost a prompt nothing.", n, computed, (double)computed / n, computed - n));
}

static void add_split_line(json_t *lines, const json_t *split)
{
    if (!json_is_object(split)) return;
    const double gain = json_number_value(json_object_get(split, "gain"));
    const double most = json_number_value(json_object_get(split, "most_crossing_us"));
    json_array_append_new(lines, gain > 1 ?
        text("Not built: %.0f %% of all rows on the CPU's cores would make it %.0f tok/s, %.2f times, "
             "at 4 us for each of four hand-overs a layer; from %.0f us on it would lose.",
             100 * json_number_value(json_object_get(split, "cpu_share")),
             json_number_value(json_object_get(split, "tok_s")), gain, most) :
        text("Not built: rows on the CPU's cores would bring nothing here."));
}

static void add_step(json_t *sections, const json_t *plan, const struct plan_subject *s)
{
    const json_t *step = json_object_get(plan, "step");
    const double ridge = number(plan, "step", "ridge_streams");
    json_t *lines = json_array();
    json_array_append_new(lines,
        text("%u streams with %u tokens of context each: %.1f tok/s in all, %.1f each; %s bind%s.",
             s->load.n_streams, s->depth, number(plan, "step", "tok_s"),
             number(plan, "step", "tok_s_stream"),
             json_string_value(json_object_get(step, "bound")),
             strcmp(json_string_value(json_object_get(step, "bound")), "arithmetic") ? "" : "s"));
    json_array_append_new(lines,
        text("Time to first token of a prompt of %u tokens: %.2f s alone, %.2f s beside %u running "
             "streams.", s->prompt_tokens, number(plan, "step", "prefill_s"),
             number(plan, "step", "busy_prefill_s"), s->load.n_streams - 1));
    json_array_append_new(lines, ridge < 1 ?
        text("Arithmetic takes longer than reading the weights at any number of streams.") :
        text("Arithmetic overtakes weight reads at %.0f streams.", ridge));
    add_columns_line(lines, s);
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

static void add_tables(json_t *sections, const json_t *plan)
{
    const json_t *streams = json_object_get(plan, "streams");
    const json_t *contexts = json_object_get(plan, "contexts");
    const json_t *quantisations = json_object_get(plan, "quantisations");
    const json_t *heat = json_object_get(plan, "heat");

    add_section(sections, "Streams (modelled)", NULL,
                TABLE(streams, { "streams", "streams", AS_WHOLE }, { "tok_s", "tok/s", AS_TENTHS },
                      { "tok_s_stream", "each", AS_TENTHS }, { "step_ms", "step ms", AS_TENTHS },
                      { "bound", "binds", AS_TEXT }, { "total_gib", "total GiB", AS_HUNDREDTHS },
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
                TABLE(json_object_get(plan, "kv_types"), { "k", "K", AS_TEXT }, { "v", "V", AS_TEXT },
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
    add_section(sections, "Machines (modelled)", NULL,
                TABLE(json_object_get(plan, "machines"), { "machine", "name", AS_TEXT },
                      { "tok_s", "tok/s", AS_TENTHS }, { "tok_s_stream", "each", AS_TENTHS },
                      { "prefill_s", "first token s", AS_HUNDREDTHS }, { "bound", "binds", AS_TEXT },
                      { "usable_gib", "usable GiB", AS_TENTHS }, { "fits", "fits", AS_YES },
                      { "price", "price", AS_WHOLE },
                      { "price_per_tok_s", "price per tok/s", AS_HUNDREDTHS },
                      { "title", "machine", AS_TEXT }), NULL);
    if (json_array_size(heat))
        add_section(sections, "Sustained, by the given derating", NULL,
                    TABLE(heat, { "minute", "minutes", AS_TENTHS }, { "share", "share", AS_HUNDREDTHS },
                          { "tok_s", "tok/s", AS_TENTHS }),
                    plot_of(heat, "Tokens a second under lasting load", "minute", "minutes", "tok/s",
                            "tok_s", "all streams", NULL, NULL));
}

static void add_formulas(json_t *sections, const struct plan_subject *s)
{
    const struct work w = plan_work_of(s, &s->load);
    const struct plan_memory m = plan_memory_of(s, &s->load);
    const struct estimate e = estimate_decode(&w, &s->rates, s->load.n_streams, s->depth);
    const struct rates *r = &s->rates;
    const unsigned n = s->load.n_streams;
    json_t *lines = json_array();
#define LINE(...) json_array_append_new(lines, text(__VA_ARGS__))
    LINE("weights = rows x bytes of a row, all tensors = %.0f bytes (%s)", m.weights,
         s->is_file ? "the file's tensors" : "the recipe's type for each tensor");
    LINE("KV a token = layers x KV heads x (bytes of a key + of a value) = %u x %u x %.0f = %.0f "
         "bytes", s->shape.n_layers, s->shape.n_kv_heads,
         m.kv_per_token / s->shape.n_layers / s->shape.n_kv_heads, m.kv_per_token);
    LINE("KV = KV a token x context x streams = %.0f x %u x %u = %.2f GiB", m.kv_per_token,
         s->load.ctx_tokens, n, m.kv / GIB);
    LINE("total = weights + KV + scratch + streams + vocabulary = %.2f + %.2f + %.2f + %.2f + %.2f "
         "= %.2f GiB", m.weights / GIB, m.kv / GIB, m.scratch / GIB, m.streams / GIB,
         m.vocabulary / GIB, m.total / GIB);
    LINE("arithmetic = (streams + %.1f) x MAC of a token / rate + streams x context x attention MAC / "
         "rate = %.1f x %.3f GMAC / %.0f GMAC/s + %u x %u x %.3f MMAC / %.0f GMAC/s = %.2f ms",
         r->extra_columns, n + r->extra_columns, w.macs_per_token * 1e-9, r->macs_per_s * 1e-9, n,
         s->depth, w.attend_macs * 1e-6, r->attend_macs_per_s * 1e-9, e.arithmetic_s * 1e3);
    LINE("weight reads = bytes / rate = %.3f GB / %.1f GB/s = %.2f ms%s",
         e.weights_s * r->read_bytes_per_s * 1e-9, r->read_bytes_per_s * 1e-9, e.weights_s * 1e3,
         w.n_experts ? " (of the experts, those that the streams' tokens choose at random)" : "");
    LINE("KV reads = streams x context x KV a token / rate = %u x %u x %.0f / %.1f GB/s = %.2f ms%s",
         n, s->depth, w.kv_bytes_per_token, r->read_bytes_per_s * 1e-9, e.kv_s * 1e3,
         w.window_share > 0 ? " (less where an attention window hides tokens)" : "");
    LINE("launches = layers x (time a layer + streams x time a column) = %u x (%.0f + %u x %.0f) us = "
         "%.2f ms", w.n_layers, r->layer_s * 1e6, n, r->column_layer_s * 1e6, e.launches_s * 1e3);
    if (r->overlaps_in_part)
        LINE("step = third root of (arithmetic^3 + reads^3), + launches = (%.2f^3 + (%.2f + %.2f)^3)^(1/3) "
             "+ %.2f = %.2f ms: they overlap, but hold each other up where they take alike",
             e.arithmetic_s * 1e3, e.weights_s * 1e3, e.kv_s * 1e3, e.launches_s * 1e3,
             e.step_s * 1e3);
    else
        LINE("step = the longer of arithmetic and reads, + launches = max(%.2f, %.2f + %.2f) + %.2f = "
             "%.2f ms", e.arithmetic_s * 1e3, e.weights_s * 1e3, e.kv_s * 1e3, e.launches_s * 1e3,
             e.step_s * 1e3);
    LINE("tok/s = streams / step = %u / %.2f ms = %.1f", n, e.step_s * 1e3, e.tok_s);
    LINE("rates of the machine: %s", s->machine.source);
#undef LINE
    add_section(sections, "How each figure comes about", lines, NULL, NULL);
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
    if (explain) add_formulas(sections, s);
    strftime(day, sizeof day, "%Y-%m-%d", localtime_r(&now, &local));
    return json_pack("{s:o s:o s:o s:o}", "title",
                     text("%s %s, %u streams", s->is_file ? s->file.model_name : s->shape.name,
                          plan_quantisation(s, &s->load), s->load.n_streams),
                     "lead",
                     text("%s: %.0f GMAC/s, %.0f GB/s %s; %.2f B weights", s->machine.title,
                          s->rates.macs_per_s * 1e-9, s->rates.read_bytes_per_s * 1e-9,
                          s->is_measured ? "of limits measured now" : "modelled",
                          number(plan, "model", "parameters") * 1e-9),
                     "sections", sections, "made", text("paceline " PL_VERSION ", %s", day));
}
