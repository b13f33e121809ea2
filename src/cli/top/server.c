#include "cli/top/server.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

bool top_server_init(struct top_server *s, const char *url)
{
    memset(s, 0, sizeof *s);
    const char *scheme = strstr(url, "://") ? "" : "http://";
    const int n = snprintf(s->url, sizeof s->url, "%s%s", scheme, url);
    if (n < 0 || (size_t)n >= sizeof s->url) return false;
    for (size_t end = (size_t)n; end && s->url[end - 1] == '/'; end--) s->url[end - 1] = 0;
    return true;
}

static void set_state(struct top_server *s, enum top_state state, uint64_t now_ns)
{
    if (s->state != state) s->since_ns = now_ns;
    s->state = state;
}

static double figure_of(const struct top_figures *f, size_t at)
{
    double x;
    memcpy(&x, (const char *)f + at, sizeof x);
    return x;
}

static const struct top_figures *answer(const struct top_server *s, uint32_t back)
{
    return &s->figures[(s->n_answers - 1 - back) % TOP_WINDOW];
}

static uint64_t answer_ns(const struct top_server *s, uint32_t back)
{
    return s->at_ns[(s->n_answers - 1 - back) % TOP_WINDOW];
}

void top_server_answer(struct top_server *s, uint64_t now_ns, const char *metrics, size_t n_metrics,
                       const char *slots, size_t n_slots)
{
    struct top_figures *next = &s->figures[s->n_answers % TOP_WINDOW];
    top_figures_read(next, metrics, n_metrics);
    if (!next->dialect) {
        top_server_fail(s, now_ns, TOP_REFUSES, "/metrics has no names that are known here");
        return;
    }
    s->at_ns[s->n_answers++ % TOP_WINDOW] = now_ns;
    if (s->n_window < TOP_WINDOW) s->n_window++;
    if (s->state != TOP_UP ||
        (s->n_window > 1 && next->reply_tokens < answer(s, 1)->reply_tokens)) {
        s->n_window = 1;            /* a counter that fell is a server that started anew */
        s->n_rates = 0;
    }
    set_state(s, TOP_UP, now_ns);
    const double rate = top_server_rate(s, offsetof(struct top_figures, reply_tokens));
    if (!isnan(rate)) s->rate[s->n_rates++ % TOP_HISTORY] = rate;
    if (!slots || !top_slots_read(&s->slots, now_ns, slots, n_slots)) s->slots.n = 0;
}

void top_server_fail(struct top_server *s, uint64_t now_ns, enum top_state state, const char *why)
{
    set_state(s, state, now_ns);
    snprintf(s->why, sizeof s->why, "%s", why);
    s->slots.n = 0;
}

const struct top_figures *top_server_now(const struct top_server *s)
{
    return s->n_answers ? answer(s, 0) : NULL;
}

double top_server_rate(const struct top_server *s, size_t figure)
{
    if (s->n_window < 2) return NAN;
    const double seconds = (double)(answer_ns(s, 0) - answer_ns(s, 1)) * 1e-9;
    const double more = figure_of(answer(s, 0), figure) - figure_of(answer(s, 1), figure);
    return seconds > 0 && more >= 0 ? more / seconds : NAN;
}

struct top_percentiles top_server_percentiles(const struct top_server *s, size_t histogram,
                                              double seconds)
{
    struct top_percentiles p = { NAN, NAN, false };
    uint32_t back = 0;
    if (!s->n_window) return p;
    while (back + 1 < s->n_window &&
           (double)(answer_ns(s, 0) - answer_ns(s, back)) * 1e-9 < seconds)
        back++;
    const struct top_histogram *now =
        (const void *)((const char *)answer(s, 0) + histogram);
    const struct top_histogram *before =
        back ? (const void *)((const char *)answer(s, back) + histogram) : NULL;
    p.p50 = top_quantile(now, before, 0.5);
    p.p95 = top_quantile(now, before, 0.95);
    if (isnan(p.p50) || !before) {
        p.p50 = top_quantile(now, NULL, 0.5);
        p.p95 = top_quantile(now, NULL, 0.95);
        p.is_since_start = true;
    }
    return p;
}
