#include "server/metrics_vllm.h"

#include "server/metrics_text.h"

static void finished(struct strbuf *b, const char *labels, const pl_stats *s)
{
    static const struct {
        pl_finish finish;
        const char *reason;
    } reasons[] = {
        { PL_FINISH_STOP, "stop" },
        { PL_FINISH_LENGTH, "length" },
        { PL_FINISH_CANCELLED, "abort" },
        { PL_FINISH_ERROR, "error" },
    };
    const char *name = "vllm:request_success_total";
    metric_head(b, name, "counter", "Requests that ended, by reason.");
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        strbuf_addf(b, "%s{%s,finished_reason=\"%s\"} %llu\n", name, labels, reasons[i].reason,
                    (unsigned long long)s->n_finished[reasons[i].finish]);
}

static void cache(struct strbuf *b, const char *labels, const pl_stats *s, const pl_plan *p,
                  bool has_prefix_cache)
{
    const double usage = s->n_pages_total ? (double)s->n_pages_used / s->n_pages_total : 0;
    metric_gauge(b, "vllm:kv_cache_usage_perc", labels, "KV pages held by streams, 0 to 1.", usage);
    metric_head(b, "vllm:cache_config_info", "gauge", "Always 1; labels say the KV pool's shape.");
    strbuf_addf(b, "vllm:cache_config_info{%s,block_size=\"%u\",num_gpu_blocks=\"%u\"} 1\n", labels,
                p->page_tokens, p->n_pages);
    if (!has_prefix_cache) return;
    metric_counter(b, "vllm:prefix_cache_queries_total", labels,
                   "Prompt tokens that were looked for in the prefix cache.", s->n_prompt_tokens);
    metric_counter(b, "vllm:prefix_cache_hits_total", labels,
                   "Prompt tokens whose KV was at hand.", s->n_cached_tokens);
}

static void histograms(struct strbuf *b, const char *labels, const pl_stats *s)
{
    metric_histogram(b, "vllm:time_to_first_token_seconds", labels,
                     "From submission to the first token.", &s->ttft);
    metric_histogram(b, "vllm:inter_token_latency_seconds", labels,
                     "Between tokens of one request.", &s->inter_token);
    metric_histogram(b, "vllm:e2e_request_latency_seconds", labels,
                     "From submission to the last token.", &s->end_to_end);
    metric_histogram(b, "vllm:request_queue_time_seconds", labels, "From submission to a slot.",
                     &s->queue);
    metric_histogram(b, "vllm:request_prefill_time_seconds", labels,
                     "From the slot to the first token.", &s->prefill);
    metric_histogram(b, "vllm:request_decode_time_seconds", labels,
                     "From the first token to the last.", &s->decode);
}

void metrics_vllm(struct strbuf *b, const char *model, const pl_stats *s, const pl_plan *p,
                  bool has_prefix_cache)
{
    struct strbuf text = { 0 };
    metric_label(&text, "model_name", model);
    metric_label(&text, "engine", "0");
    if (text.failed) {
        b->failed = true;
        return;
    }
    const char *labels = text.bytes;
    metric_gauge(b, "vllm:num_requests_running", labels, "Requests in a slot.", s->n_running);
    metric_gauge(b, "vllm:num_requests_waiting", labels, "Requests waiting for a slot.",
                 s->n_queued);
    cache(b, labels, s, p, has_prefix_cache);
    metric_counter(b, "vllm:prompt_tokens_total", labels, "Prompt tokens computed or at hand.",
                   s->n_prompt_tokens);
    metric_counter(b, "vllm:prompt_tokens_cached_total", labels,
                   "Prompt tokens whose KV was at hand.", s->n_cached_tokens);
    metric_counter(b, "vllm:generation_tokens_total", labels, "Reply tokens generated.",
                   s->n_reply_tokens);
    metric_counter(b, "vllm:num_preemptions_total", labels,
                   "Requests paused because KV pages ran short.", s->n_pauses);
    finished(b, labels, s);
    histograms(b, labels, s);
    strbuf_free(&text);
}
