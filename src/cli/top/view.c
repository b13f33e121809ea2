#include "cli/top/view.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { WORD = 24, SLOT_COLUMNS = 39, SPARK_AT = 42, MIN_NAME = 8, MIN_GRAPH_ROWS = 3 };

/* Widths on a screen of 80 columns; what is beyond them goes to the bar and to names. */
enum { SCREEN = 80, BAR = 22, NAME = 30 };

static const double percentile_seconds = 30;

#define FIGURE(member) offsetof(struct top_figures, member)

struct word {
    char text[WORD];
};

static struct word count_word(double n)
{
    struct word w;
    frame_count(w.text, sizeof w.text, n);
    return w;
}

static struct word seconds_word(double s)
{
    struct word w;
    frame_seconds(w.text, sizeof w.text, s);
    return w;
}

static struct word rate_word(double n)
{
    struct word w;
    if (isnan(n)) snprintf(w.text, sizeof w.text, "-");
    else snprintf(w.text, sizeof w.text, "%.1f", n);
    return w;
}

static struct word share_word(double share)
{
    struct word w;
    if (isnan(share)) snprintf(w.text, sizeof w.text, "-");
    else snprintf(w.text, sizeof w.text, "%.0f %%", share * 100);
    return w;
}

/* Appends; what does not fit is left out. */
static void append(char *text, size_t n_text, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void append(char *text, size_t n_text, const char *format, ...)
{
    const size_t n = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + n, n_text - n, format, args);
    va_end(args);
}

/* ---- one server ----------------------------------------------------------------------------- */

static const char *state_name(const struct top_server *s)
{
    static const char *const names[] = { "asked", "up", "DOWN", "NO FIGURES" };
    return names[s->state];
}

static enum frame_style state_style(const struct top_server *s)
{
    return s->state == TOP_UP ? FRAME_GOOD : s->state == TOP_ASKED ? FRAME_FAINT : FRAME_BAD;
}

static void add_identity(struct frame *f, const struct top_server *s, const struct top_view *v)
{
    const struct top_figures *now = top_server_now(s);
    if (s->state != TOP_UP) {
        const struct word age = seconds_word((double)(v->now_ns - s->since_ns) * 1e-9);
        const bool is_asked = s->state == TOP_ASKED;
        frame_add(f, state_style(s), "%s  %s%s%s  %s", s->url, state_name(s),
                  is_asked ? "" : " for ", is_asked ? "" : age.text, s->why);
        return;
    }
    char end[3 * WORD + 64] = "";
    append(end, sizeof end, "  %s%s%s  %s %s%s", now->backend, *now->isa ? " " : "", now->isa,
           now->dialect,
           now->version, now->is_healthy == 0 ? "  STUCK: the engine makes no progress" : "");
    /* a long name of a model gives way to what stands behind it */
    const size_t n_others = strlen(s->url) + strlen("  up  ") + strlen(end);
    const size_t room = f->columns > n_others ? f->columns - n_others : 0;
    const bool is_cut = strlen(now->model) > room;
    const size_t n_kept = !is_cut ? strlen(now->model) : room > MIN_NAME ? room - 2 : MIN_NAME;
    frame_add(f, state_style(s), "%s  up  %.*s%s%s", s->url, (int)n_kept, now->model,
              is_cut ? ".." : "", end);
}

/* The reply's rate of the last looks, oldest first; returns how many. */
static uint32_t rates_of(const struct top_server *s, double rate[TOP_HISTORY])
{
    const uint32_t n = s->n_rates < TOP_HISTORY ? s->n_rates : TOP_HISTORY;
    for (uint32_t i = 0; i < n; i++) rate[i] = s->rate[(s->n_rates - n + i) % TOP_HISTORY];
    return n;
}

/* Fills what is left of the screen: a graph of the same rates as the line of throughput. */
static void add_graph(struct frame *f, const struct top_server *s, double interval_s)
{
    char text[FRAME_LINE_BYTES];
    double rate[TOP_HISTORY], most = 0;
    const uint32_t n = rates_of(s, rate);
    const size_t room = f->max_lines > f->n ? f->max_lines - f->n : 0,
                 shown = n < f->columns ? n : f->columns;
    if (s->state != TOP_UP || room < MIN_GRAPH_ROWS + 2 || !n) return;
    for (uint32_t i = n - (uint32_t)shown; i < n; i++) most = fmax(most, rate[i]);
    frame_add(f, FRAME_PLAIN, "%s", "");
    frame_add(f, FRAME_FAINT, "reply tokens/s of the last %s, at most %s",
              seconds_word((double)shown * interval_s).text, rate_word(most).text);
    for (size_t row = room - 2; row-- > 0;) {
        frame_graph_row(f, text, sizeof text, rate, n, f->columns, row, room - 2);
        frame_add(f, FRAME_PLAIN, "%s", text);
    }
}

static void add_throughput(struct frame *f, const struct top_server *s)
{
    char spark[TOP_HISTORY * 4];
    double rate[TOP_HISTORY];
    const uint32_t n = rates_of(s, rate);
    const size_t room = f->columns > SPARK_AT ? f->columns - SPARK_AT : 0;
    frame_spark(f, spark, sizeof spark, rate, n, room);
    double prompt = top_server_rate(s, FIGURE(computed_tokens));
    if (isnan(prompt)) prompt = top_server_rate(s, FIGURE(prompt_tokens));
    double reply = top_server_rate(s, FIGURE(reply_tokens));
    if (isnan(reply)) reply = top_server_now(s)->reply_tokens_per_s;
    frame_add(f, FRAME_STRONG, "tokens/s  reply %8s  prompt %8s  %s", rate_word(reply).text,
              rate_word(prompt).text, spark);
}

static void add_slots_and_queue(struct frame *f, const struct top_figures *now)
{
    char text[FRAME_LINE_BYTES] = "";
    append(text, sizeof text, "slots     %s", count_word(now->running).text);
    if (!isnan(now->slots)) append(text, sizeof text, " of %s", count_word(now->slots).text);
    append(text, sizeof text, " in use");
    if (!isnan(now->context_tokens))
        append(text, sizeof text, ", %s tokens each", count_word(now->context_tokens).text);
    append(text, sizeof text, "   queue %s", count_word(now->queued).text);
    if (!isnan(now->queued_tokens))
        append(text, sizeof text, " (%s tokens)", count_word(now->queued_tokens).text);
    frame_add(f, now->queued > 0 ? FRAME_STRONG : FRAME_PLAIN, "%s", text);
}

static void add_kv(struct frame *f, const struct top_figures *now)
{
    char bar[FRAME_LINE_BYTES];
    if (isnan(now->kv_share)) return;
    frame_bar(bar, sizeof bar, now->kv_share,
              f->columns > SCREEN ? f->columns - SCREEN + BAR : BAR);
    if (isnan(now->kv_pages)) {
        frame_add(f, FRAME_PLAIN, "KV        %s %s", bar, share_word(now->kv_share).text);
        return;
    }
    frame_add(f, FRAME_PLAIN, "KV        %s %s   %s used, %s kept of %s pages", bar,
              share_word(now->kv_share).text, count_word(now->kv_used).text,
              count_word(now->kv_cached).text, count_word(now->kv_pages).text);
}

static void add_memory(struct frame *f, const struct top_figures *now)
{
    char text[FRAME_LINE_BYTES] = "";
    if (isnan(now->resident_bytes)) return;
    append(text, sizeof text, "memory    %.0f MiB:", now->resident_bytes / 1048576);
    for (uint32_t i = 0; i < now->pools.n; i++)
        append(text, sizeof text, " %s %.0f", now->pools.item[i].name,
               now->pools.item[i].value / 1048576);
    frame_add(f, FRAME_PLAIN, "%s", text);
}

static void add_latencies(struct frame *f, const struct top_server *s)
{
    static const struct {
        const char *name;
        size_t at;
    } kinds[] = { { "first", FIGURE(ttft) }, { "next", FIGURE(inter_token) },
                  { "queue", FIGURE(queue) } };
    char text[FRAME_LINE_BYTES] = "p50 p95 ";
    bool is_any = false;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const struct top_percentiles p = top_server_percentiles(s, kinds[i].at, percentile_seconds);
        append(text, sizeof text, "  %s %s %s%s", kinds[i].name, seconds_word(p.p50).text,
               seconds_word(p.p95).text, p.is_since_start && !isnan(p.p50) ? "*" : "");
        is_any |= p.is_since_start && !isnan(p.p50);
    }
    if (top_server_now(s)->ttft.n)
        frame_add(f, FRAME_PLAIN, "%s%s", text, is_any ? "  (* since start)" : "  of 30 s");
}

static void add_requests(struct frame *f, const struct top_figures *now)
{
    char reasons[FRAME_LINE_BYTES] = "";
    double all = 0;
    if (isnan(now->requests)) return;
    for (uint32_t i = 0; i < now->rejects.n; i++) {
        const struct top_named *reason = &now->rejects.item[i];
        if (reason->value > 0)
            append(reasons, sizeof reasons, "%s %s %.0f", *reasons ? "," : ":", reason->name,
                   reason->value);
        all += reason->value;
    }
    if (now->rejects.n)
        frame_add(f, all > 0 ? FRAME_STRONG : FRAME_PLAIN, "requests  %s taken   rejected %.0f%s",
                  count_word(now->requests).text, all, reasons);
    else
        frame_add(f, FRAME_PLAIN, "requests  %s", count_word(now->requests).text);
}

/* ---- this machine --------------------------------------------------------------------------- */

static void append_celsius_and_watts(char *text, size_t n_text, double celsius, double watts)
{
    if (!isnan(celsius)) append(text, n_text, " %.0f C", celsius);
    if (!isnan(watts)) append(text, n_text, " %.1f W", watts);
}

static void add_host(struct frame *f, const struct host_figures *h, const struct top_figures *now)
{
    char text[FRAME_LINE_BYTES] = "machine  ";
    const bool is_hot = now->is_throttled > 0 || h->thermal.is_throttled;
    append(text, sizeof text, " CPU %s", share_word(h->cpu_share).text);
    append_celsius_and_watts(text, sizeof text, h->cpu_celsius, h->cpu_watts);
    if (!isnan(h->system_watts)) append(text, sizeof text, "  in all %.1f W", h->system_watts);
    for (uint32_t i = 0; i < h->n_gpus; i++) {
        const struct host_gpu *g = &h->gpu[i];
        append(text, sizeof text, "  %s %s", g->name, share_word(g->share).text);
        append_celsius_and_watts(text, sizeof text, g->celsius, g->watts);
        if (!isnan(g->memory_used_bytes))
            append(text, sizeof text, " %.1f/%.0f GB", g->memory_used_bytes * 1e-9,
                   g->memory_bytes * 1e-9);
    }
    frame_add(f, is_hot ? FRAME_BAD : FRAME_PLAIN, "%s%s", text, is_hot ? "  SLOWED BY HEAT" : "");
}

/* ---- slots ---------------------------------------------------------------------------------- */

static void slot_cell(char *out, size_t n_out, const struct top_slot *s)
{
    char prompt[2 * WORD];
    struct word age = { "-" };
    if (!s->is_busy) {
        snprintf(out, n_out, "%3u idle", s->id);
        return;
    }
    if (s->is_prompt)
        snprintf(prompt, sizeof prompt, "%s/%s", count_word(s->n_prompt_done).text,
                 count_word(s->n_prompt).text);
    else
        snprintf(prompt, sizeof prompt, "%s", count_word(s->n_prompt).text);
    if (s->age_s < 60) snprintf(age.text, sizeof age.text, "%.0fs", floor(s->age_s));
    else if (!isnan(s->age_s)) age = seconds_word(s->age_s);
    snprintf(out, n_out, "%3u %-6s %9s %5s %6s %5s", s->id, s->is_prompt ? "prompt" : "reply",
             prompt, count_word(s->n_reply).text, rate_word(s->tokens_per_s).text, age.text);
}

/* Those to show in n_cells: all, or else the busy ones. */
static size_t choose_slots(const struct top_slots *s, size_t n_cells,
                           const struct top_slot **chosen)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        if (s->n <= n_cells || s->slot[i].is_busy) chosen[n++] = &s->slot[i];
    return n;
}

/* Down the columns of cells, as many side by side as fit. */
static void add_slots(struct frame *f, const struct top_slots *s)
{
    const struct top_slot *chosen[TOP_MAX_SLOTS];
    const size_t n_side = f->columns < SLOT_COLUMNS ? 1 : (f->columns + 1) / (SLOT_COLUMNS + 1);
    if (!s->n || f->n + 2 > f->max_lines) return;
    const size_t room = f->max_lines - f->n - 1;
    const size_t n = choose_slots(s, room * n_side, chosen);
    size_t n_rows = (n + n_side - 1) / n_side;
    if (n_rows > room) n_rows = room - 1;           /* the last line says how many are missing */
    char text[FRAME_LINE_BYTES] = "";
    for (size_t i = 0; i < n_side && i * n_rows < n; i++)
        append(text, sizeof text, "%-*s ", SLOT_COLUMNS,
               " id state     prompt reply  tok/s   age");
    frame_add(f, FRAME_FAINT, "%s", text);
    for (size_t row = 0; row < n_rows; row++) {
        text[0] = 0;
        for (size_t i = row; i < n && i < n_rows * n_side; i += n_rows) {
            char cell[FRAME_LINE_BYTES];
            slot_cell(cell, sizeof cell, chosen[i]);
            append(text, sizeof text, "%-*s ", SLOT_COLUMNS, cell);
        }
        frame_add(f, FRAME_PLAIN, "%s", text);
    }
    if (n > n_rows * n_side)
        frame_add(f, FRAME_FAINT, "    %zu more that work", n - n_rows * n_side);
}

static void add_server(struct frame *f, const struct top_view *v, const struct top_server *s)
{
    const struct top_figures *now = top_server_now(s);
    add_identity(f, s, v);
    if (s->state != TOP_UP) return;
    add_throughput(f, s);
    add_slots_and_queue(f, now);
    add_kv(f, now);
    add_memory(f, now);
    add_latencies(f, s);
    add_requests(f, now);
    if (s->is_local) add_host(f, v->host, now);
    add_slots(f, &s->slots);
}

/* ---- several servers ------------------------------------------------------------------------ */

static int name_columns(const struct frame *f)
{
    return NAME + (f->columns > SCREEN ? (int)(f->columns - SCREEN) : 0);
}

static void add_short(struct frame *f, const struct top_server *s, bool is_selected)
{
    const struct top_figures *now = top_server_now(s);
    const char mark = is_selected ? '>' : ' ';
    if (s->state != TOP_UP) {
        frame_add(f, state_style(s), "%c %-*.*s %s  %s", mark, name_columns(f), name_columns(f),
                  s->url, state_name(s), s->why);
        return;
    }
    const struct top_percentiles first =
        top_server_percentiles(s, FIGURE(ttft), percentile_seconds);
    const struct top_percentiles next =
        top_server_percentiles(s, FIGURE(inter_token), percentile_seconds);
    frame_add(f, is_selected ? FRAME_STRONG : FRAME_PLAIN,
              "%c %-*.*s %7s %5s/%-4s %5s %5s %7s %7s", mark, name_columns(f), name_columns(f),
              s->url, rate_word(top_server_rate(s, FIGURE(reply_tokens))).text,
              count_word(now->running).text, count_word(now->slots).text,
              count_word(now->queued).text, share_word(now->kv_share).text,
              seconds_word(first.p95).text, seconds_word(next.p95).text);
}

static void add_title(struct frame *f, const struct top_view *v)
{
    char left[WORD * 4];
    snprintf(left, sizeof left, "paceline top  every %.3g s%s", v->interval_s,
             v->is_paused ? "  PAUSED" : "");
    const size_t width = f->columns > strlen(v->clock) ? f->columns - strlen(v->clock) : 0;
    frame_add(f, FRAME_STRONG, "%-*s%s", (int)width, left, v->clock);
}

void top_view_screen(const struct top_view *v, struct frame *f)
{
    const size_t max_lines = f->max_lines;
    f->n = 0;
    f->max_lines = max_lines > 1 ? max_lines - 1 : max_lines;   /* the last line is the keys' */
    add_title(f, v);
    if (v->n_servers > 1) {
        frame_add(f, FRAME_FAINT, "  %-*s %7s %10s %5s %5s %7s %7s", name_columns(f), "server",
                  "tok/s", "slots", "queue", "KV", "first95", "next95");
        for (size_t i = 0; i < v->n_servers; i++)
            add_short(f, &v->server[i], i == v->selected);
    }
    frame_add(f, FRAME_PLAIN, "%s", "");
    add_server(f, v, &v->server[v->selected]);
    add_graph(f, &v->server[v->selected], v->interval_s);
    while (f->n < f->max_lines) frame_add(f, FRAME_PLAIN, "%s", "");
    f->max_lines = max_lines;
    frame_add(f, FRAME_FAINT, "q quit   space pause%s",
              v->n_servers > 1 ? "   up/down or tab: another server" : "");
}

void top_view_all(const struct top_view *v, struct frame *f)
{
    f->n = 0;
    for (size_t i = 0; i < v->n_servers; i++) {
        if (i) frame_add(f, FRAME_PLAIN, "%s", "");
        add_server(f, v, &v->server[i]);
    }
}
