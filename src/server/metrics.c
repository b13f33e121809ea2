/* GET /metrics: Prometheus text, version 0.0.4. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "server/http.h"

#if defined(__APPLE__)
#include <mach/mach.h>
#endif

static void head(struct strbuf *b, const char *name, const char *type, const char *help)
{
    strbuf_addf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void counter(struct strbuf *b, const char *name, const char *help, uint64_t value)
{
    head(b, name, "counter", help);
    strbuf_addf(b, "%s %" PRIu64 "\n", name, value);
}

static void seconds_counter(struct strbuf *b, const char *name, const char *help, uint64_t ns)
{
    head(b, name, "counter", help);
    strbuf_addf(b, "%s %.9f\n", name, (double)ns * 1e-9);
}

static void gauge(struct strbuf *b, const char *name, const char *help, double value)
{
    head(b, name, "gauge", help);
    strbuf_addf(b, "%s %.15g\n", name, value);
}

static void labelled(struct strbuf *b, const char *name, const char *label, const char *value,
                     double number)
{
    strbuf_addf(b, "%s{%s=\"%s\"} %.15g\n", name, label, value, number);
}

static void histogram(struct strbuf *b, const char *name, const char *help, const pl_histogram *h)
{
    head(b, name, "histogram", help);
    for (uint32_t i = 0; i < h->n_bounds; i++)
        strbuf_addf(b, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, h->bound_s[i], h->count[i]);
    strbuf_addf(b, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.9g\n%s_count %" PRIu64 "\n", name,
                h->n, name, h->sum_s, name, h->n);
}

static double resident_bytes(void)
{
#if defined(__linux__)
    long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f) return 0;
    if (fscanf(f, "%*s %lld", &pages) != 1) pages = 0;
    fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
#elif defined(__APPLE__)
    struct mach_task_basic_info info;
    mach_msg_type_number_t n = MACH_TASK_BASIC_INFO_COUNT;
    if (task_info(mach_task_self(), MACH_TASK_BASIC_INFO, (task_info_t)&info, &n)) return 0;
    return (double)info.resident_size;
#else
    return 0;
#endif
}

static void requests(struct strbuf *b, const pl_stats *s, const struct server *server)
{
    const unsigned long n_refused_draining = atomic_load(&server->n_refused_draining);
    counter(b, "paceline_requests_total", "Requests taken into the queue.", s->n_requests);
    head(b, "paceline_rejected_total", "counter", "Requests answered with an error at once.");
    labelled(b, "paceline_rejected_total", "reason", "queue_full", (double)s->n_rejected_busy);
    labelled(b, "paceline_rejected_total", "reason", "context", (double)s->n_rejected_context);
    labelled(b, "paceline_rejected_total", "reason", "shutting_down",
             (double)s->n_rejected_closing + (double)n_refused_draining);
    head(b, "paceline_finished_total", "counter", "Requests that ended, by reason.");
    labelled(b, "paceline_finished_total", "reason", "stop",
             (double)s->n_finished[PL_FINISH_STOP]);
    labelled(b, "paceline_finished_total", "reason", "length",
             (double)s->n_finished[PL_FINISH_LENGTH]);
    labelled(b, "paceline_finished_total", "reason", "cancelled",
             (double)s->n_finished[PL_FINISH_CANCELLED]);
    labelled(b, "paceline_finished_total", "reason", "error",
             (double)s->n_finished[PL_FINISH_ERROR]);
}

static void answers(struct strbuf *b, const struct server *s)
{
    char code[8];
    const char *name = "paceline_http_answers_total";
    head(b, name, "counter", "HTTP answers, by status.");
    for (unsigned i = 0; i < MAX_STATUS; i++) {
        if (!s->n_answers[i] && i != 200) continue;
        snprintf(code, sizeof code, "%u", i);
        labelled(b, name, "code", code, (double)s->n_answers[i]);
    }
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
    gauge(b, "paceline_http_connections", "Open connections.",
          info ? info->num_connections : 0);
    gauge(b, "paceline_http_active_requests", "Requests for text that are being answered.",
          atomic_load(&s->n_active));
    gauge(b, "paceline_http_body_bytes", "Request bodies in memory.",
          (double)atomic_load(&s->n_body_bytes));
}

static void tokens(struct strbuf *b, const pl_stats *s)
{
    counter(b, "paceline_prompt_tokens_total", "Prompt tokens of admitted requests.",
            s->n_prompt_tokens);
    counter(b, "paceline_cached_tokens_total", "Prompt tokens whose KV was at hand.",
            s->n_cached_tokens);
    counter(b, "paceline_reply_tokens_total", "Reply tokens generated.", s->n_reply_tokens);
    counter(b, "paceline_steps_total", "Forward passes.", s->n_steps);
    counter(b, "paceline_prefill_step_tokens_total", "Prompt tokens computed.",
            s->n_prefill_step_tokens);
    counter(b, "paceline_decode_step_tokens_total", "Tokens computed in steps without prompts.",
            s->n_decode_step_tokens);
    seconds_counter(b, "paceline_prefill_step_seconds_total", "Time in steps with prompt tokens.",
                    s->prefill_step_ns);
    seconds_counter(b, "paceline_decode_step_seconds_total", "Time in steps without prompts.",
                    s->decode_step_ns);
    histogram(b, "paceline_time_to_first_token_seconds", "From submission to the first token.",
              &s->ttft);
    histogram(b, "paceline_inter_token_latency_seconds", "Between tokens of one stream.",
              &s->inter_token);
    histogram(b, "paceline_queue_seconds", "From submission to a slot.", &s->queue);
    histogram(b, "paceline_end_to_end_seconds", "From submission to the last token.",
              &s->end_to_end);
}

static void pools(struct strbuf *b, const pl_stats *s, const pl_plan *p)
{
    const char *name = "paceline_memory_planned_bytes";
    gauge(b, "paceline_streams_running", "Streams in a slot.", s->n_running);
    gauge(b, "paceline_streams_queued", "Streams waiting for a slot.", s->n_queued);
    gauge(b, "paceline_queued_tokens", "Prompt tokens waiting.", (double)s->n_queued_tokens);
    gauge(b, "paceline_slots", "Slots in all.", p->n_streams);
    gauge(b, "paceline_kv_pages", "KV pages in all.", s->n_pages_total);
    gauge(b, "paceline_kv_pages_used", "KV pages held by streams.", s->n_pages_used);
    gauge(b, "paceline_kv_pages_cached", "KV pages kept for equal prompts, free on demand.",
          s->n_pages_cached);
    head(b, name, "gauge", "Memory taken at start, by pool.");
    labelled(b, name, "pool", "weights", (double)p->weights_bytes);
    labelled(b, name, "pool", "kv", (double)p->kv_bytes);
    labelled(b, name, "pool", "scratch", (double)p->scratch_bytes);
    labelled(b, name, "pool", "streams", (double)p->stream_bytes);
    labelled(b, name, "pool", "vocabulary", (double)p->vocab_bytes);
    gauge(b, "paceline_resident_memory_bytes", "Resident memory of the process.",
          resident_bytes());
}

/* Names that the capacity planner's alert rules use. */
static void planner_names(struct strbuf *b, const pl_stats *s, const pl_plan *p)
{
    gauge(b, "llm_tokens_per_second", "Reply tokens a second, of late.", s->reply_tokens_per_s);
    gauge(b, "llm_slots_available", "Slots free.", (double)(p->n_streams - s->n_running));
    gauge(b, "llm_slots_processing", "Slots in use.", s->n_running);
    gauge(b, "llm_memory_usage_gb", "Resident memory in GB.", resident_bytes() * 1e-9);
}

enum MHD_Result route_metrics(struct exchange *x)
{
    pl_engine *engine = server_engine(x);
    const pl_plan *p = pl_engine_plan(engine);
    struct strbuf text = { 0 };
    pl_stats stats;
    if (x->server->no_metrics)
        return http_fail(x, 404, NULL, "not_found", "/metrics was switched off with --no-metrics");
    pl_stats_read(engine, &stats);
    head(&text, "paceline_build_info", "gauge", "Always 1; labels say what runs.");
    strbuf_addf(&text, "paceline_build_info{version=\"%s\",backend=\"%s\",isa=\"%s\"} 1\n",
                PL_VERSION, p->backend, p->isa);
    requests(&text, &stats, x->server);
    answers(&text, x->server);
    tokens(&text, &stats);
    pools(&text, &stats, p);
    planner_names(&text, &stats, p);
    const enum MHD_Result result =
        text.failed ? http_fail(x, 500, NULL, NULL, "out of memory")
                    : http_send(x, 200, "text/plain; version=0.0.4; charset=utf-8", text.bytes,
                                text.n);
    strbuf_free(&text);
    return result;
}
