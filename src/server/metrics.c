#include "server/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "base/thermal.h"
#include "server/answer.h"
#include "server/metrics_llama.h"
#include "server/metrics_text.h"
#include "server/metrics_vllm.h"
#include "server/model_names.h"

#if defined(__APPLE__)
#include <mach/mach.h>
#endif

static void counter(struct strbuf *b, const char *name, const char *help, uint64_t value)
{
    metric_counter(b, name, NULL, help, value);
}

static void gauge(struct strbuf *b, const char *name, const char *help, double value)
{
    metric_gauge(b, name, NULL, help, value);
}

static void histogram(struct strbuf *b, const char *name, const char *help, const pl_histogram *h)
{
    metric_histogram(b, name, NULL, help, h);
}

static void seconds_counter(struct strbuf *b, const char *name, const char *help, uint64_t ns)
{
    metric_head(b, name, "counter", help);
    strbuf_addf(b, "%s %.9f\n", name, (double)ns * 1e-9);
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
    const double n_refused_draining = (double)atomic_load(&server->n_refused_draining);
    const char *name = "paceline_rejected_total";
    counter(b, "paceline_requests_total", "Requests taken into the queue.", s->n_requests);
    metric_head(b, name, "counter", "Requests answered with an error at once.");
    metric_labelled(b, name, "reason", "queue_full", (double)s->n_rejected_busy);
    metric_labelled(b, name, "reason", "bodies_full", (double)server->n_refused_bodies);
    metric_labelled(b, name, "reason", "context", (double)s->n_rejected_context);
    metric_labelled(b, name, "reason", "shutting_down",
                    (double)s->n_rejected_closing + n_refused_draining);
    name = "paceline_finished_total";
    metric_head(b, name, "counter", "Requests that ended, by reason.");
    metric_labelled(b, name, "reason", "stop", (double)s->n_finished[PL_FINISH_STOP]);
    metric_labelled(b, name, "reason", "length", (double)s->n_finished[PL_FINISH_LENGTH]);
    metric_labelled(b, name, "reason", "cancelled", (double)s->n_finished[PL_FINISH_CANCELLED]);
    metric_labelled(b, name, "reason", "error", (double)s->n_finished[PL_FINISH_ERROR]);
}

static void answers(struct strbuf *b, const struct server *s)
{
    char code[8];
    const char *name = "paceline_http_answers_total";
    metric_head(b, name, "counter", "HTTP answers, by status.");
    for (unsigned i = 0; i < MAX_STATUS; i++) {
        if (!s->n_answers[i] && i != 200) continue;
        snprintf(code, sizeof code, "%u", i);
        metric_labelled(b, name, "code", code, (double)s->n_answers[i]);
    }
    gauge(b, "paceline_http_active_requests", "Requests for text that are being answered.",
          atomic_load(&s->n_active));
    gauge(b, "paceline_http_body_bytes", "Request bodies and embeddings in memory.",
          (double)atomic_load(&s->n_body_bytes));
}

static void tokens(struct strbuf *b, const pl_stats *s)
{
    counter(b, "paceline_prompt_tokens_total", "Prompt tokens computed, or whose KV was at hand.",
            s->n_prompt_tokens);
    counter(b, "paceline_cached_tokens_total", "Prompt tokens whose KV was at hand.",
            s->n_cached_tokens);
    counter(b, "paceline_reply_tokens_total", "Reply tokens generated.", s->n_reply_tokens);
    counter(b, "paceline_steps_total", "Forward passes.", s->n_steps);
    counter(b, "paceline_interrupted_steps_total",
            "Forward passes that the system ended for taking too long, computed again.",
            s->n_interrupted_steps);
    counter(b, "paceline_pauses_total", "Streams paused because KV pages ran short.", s->n_pauses);
    counter(b, "paceline_recomputed_tokens_total", "Tokens that paused streams computed again.",
            s->n_recomputed_tokens);
    counter(b, "paceline_prefill_step_tokens_total", "Prompt tokens computed.",
            s->n_prefill_step_tokens);
    counter(b, "paceline_decode_step_tokens_total", "Tokens computed in steps without prompts.",
            s->n_decode_step_tokens);
    seconds_counter(b, "paceline_prefill_step_seconds_total", "Time in steps with prompt tokens.",
                    s->prefill_step_ns);
    seconds_counter(b, "paceline_decode_step_seconds_total", "Time in steps without prompts.",
                    s->decode_step_ns);
}

static void latencies(struct strbuf *b, const pl_stats *s)
{
    histogram(b, "paceline_time_to_first_token_seconds", "From submission to the first token.",
              &s->ttft);
    histogram(b, "paceline_inter_token_latency_seconds", "Between tokens of one stream.",
              &s->inter_token);
    histogram(b, "paceline_queue_seconds", "From submission to a slot.", &s->queue);
    histogram(b, "paceline_prefill_seconds", "From the slot to the first token.", &s->prefill);
    histogram(b, "paceline_decode_seconds", "From the first token to the last.", &s->decode);
    histogram(b, "paceline_end_to_end_seconds", "From submission to the last token.",
              &s->end_to_end);
}

static void pools(struct strbuf *b, const pl_stats *s, const pl_plan *p)
{
    const char *name = "paceline_memory_planned_bytes";
    gauge(b, "paceline_streams_running", "Streams in a slot.", s->n_running);
    gauge(b, "paceline_streams_paused", "Of these, paused until there are KV pages for them.",
          s->n_paused);
    gauge(b, "paceline_streams_queued", "Streams waiting for a slot.", s->n_queued);
    gauge(b, "paceline_queued_tokens", "Prompt tokens waiting.", (double)s->n_queued_tokens);
    gauge(b, "paceline_slots", "Slots in all.", p->n_streams);
    gauge(b, "paceline_context_tokens", "Prompt and reply tokens a stream may hold.",
          p->ctx_tokens);
    gauge(b, "paceline_kv_pages", "KV pages in all.", s->n_pages_total);
    gauge(b, "paceline_kv_pages_used", "KV pages held by streams.", s->n_pages_used);
    gauge(b, "paceline_kv_pages_cached", "KV pages kept for equal prompts, free on demand.",
          s->n_pages_cached);
    gauge(b, "paceline_kv_page_tokens", "Tokens of a KV page.", p->page_tokens);
    metric_head(b, name, "gauge", "Memory taken at start, by pool.");
    metric_labelled(b, name, "pool", "weights", (double)p->weights_bytes);
    metric_labelled(b, name, "pool", "kv", (double)p->kv_bytes);
    metric_labelled(b, name, "pool", "scratch", (double)p->scratch_bytes);
    metric_labelled(b, name, "pool", "streams", (double)p->stream_bytes);
    metric_labelled(b, name, "pool", "vocabulary", (double)p->vocab_bytes);
    gauge(b, "paceline_resident_memory_bytes", "Resident memory of the process.",
          resident_bytes());
}

/* Only what this machine tells: a missing name is not a cool machine. */
static void heat(struct strbuf *b)
{
    struct thermal t;
    thermal_read(&t);
    if (t.tells_throttled)
        gauge(b, "paceline_thermal_throttled", "1 while the system holds processors back for heat.",
              t.is_throttled);
    if (t.tells_events)
        counter(b, "paceline_thermal_throttle_events_total",
                "Times the processors were slowed for heat since boot, counted by core.",
                t.n_events);
    if (t.tells_pressure)
        gauge(b, "paceline_thermal_pressure", "macOS: 0 nominal, 1 moderate, 2 heavy, 3 trapping.",
              t.pressure);
    if (t.tells_low_power)
        gauge(b, "paceline_low_power_mode", "1 while the system saves power rather than time.",
              t.is_low_power);
}

/* Names that the capacity planner's alert rules use. */
static void planner_names(struct strbuf *b, const pl_stats *s, const pl_plan *p)
{
    gauge(b, "llm_tokens_per_second", "Reply tokens a second, of late.", s->reply_tokens_per_s);
    gauge(b, "llm_slots_available", "Slots free.", (double)(p->n_streams - s->n_running));
    gauge(b, "llm_slots_processing", "Slots in use.", s->n_running);
    gauge(b, "llm_memory_usage_gb", "Resident memory in GB.", resident_bytes() * 1e-9);
}

/* What runs, and whether it moves. */
static void identity(struct strbuf *b, const char *model, const pl_plan *p, pl_engine *engine)
{
    const char *name = "paceline_build_info";
    struct strbuf labels = { 0 };
    metric_label(&labels, "version", PL_VERSION);
    metric_label(&labels, "backend", p->backend);
    metric_label(&labels, "isa", p->isa);
    metric_label(&labels, "model", model);
    metric_gauge(b, name, labels.bytes, "Always 1; labels say what runs.", 1);
    strbuf_free(&labels);
    gauge(b, "paceline_gpu_refused",
          "1 where a GPU was the first choice and the processor computes; /health says why.",
          *p->gpu_refusal != 0);
    gauge(b, "paceline_healthy", "1 while the engine makes progress or has nothing to do.",
          pl_is_healthy(engine));
}

enum MHD_Result route_metrics(struct exchange *x)
{
    const struct server *s = x->server;
    pl_engine *engine = server_engine(x);
    const pl_plan *p = pl_engine_plan(engine);
    struct strbuf text = { 0 };
    pl_stats stats;
    if (s->no_metrics)
        return answer_fail(x, 501, NULL, "not_found",
                           "/metrics was switched off with --no-metrics");
    pl_stats_read(engine, &stats);
    identity(&text, model_names_first(s), p, engine);
    requests(&text, &stats, s);
    answers(&text, s);
    connections_metrics(x->server, &text);
    tokens(&text, &stats);
    latencies(&text, &stats);
    pools(&text, &stats, p);
    heat(&text);
    planner_names(&text, &stats, p);
    if (s->has_vllm_metrics)
        metrics_vllm(&text, model_names_first(s), &stats, p, !s->no_prefix_cache);
    if (s->has_llama_metrics) metrics_llama(&text, &stats);
    const enum MHD_Result result =
        text.failed ? answer_fail(x, 500, NULL, NULL, "out of memory")
                    : answer_bytes(x, 200, "text/plain; version=0.0.4; charset=utf-8", text.bytes,
                                   text.n);
    char started[24];
    snprintf(started, sizeof started, "%" PRIu64, s->started_s);
    if (x->response)        /* as llama-server tells it */
        MHD_add_response_header(x->response, "Process-Start-Time-Unix", started);
    strbuf_free(&text);
    return result;
}
