#include "server/metrics_llama.h"

#include "server/metrics_text.h"

static void counter(struct strbuf *b, const char *name, const char *help, uint64_t value)
{
    metric_counter(b, name, NULL, help, value);
}

static void seconds(struct strbuf *b, const char *name, const char *help, double value)
{
    metric_head(b, name, "counter", help);
    strbuf_addf(b, "%s %.9f\n", name, value);
}

static double ratio(double part, double of)
{
    return of > 0 ? part / of : 0;
}

static void totals(struct strbuf *b, const pl_stats *s)
{
    counter(b, "llamacpp:prompt_tokens_total", "Prompt tokens computed.",
            s->n_prompt_tokens - s->n_cached_tokens);
    counter(b, "llamacpp:prompt_tokens_cached_total", "Prompt tokens whose KV was at hand.",
            s->n_cached_tokens);
    seconds(b, "llamacpp:prompt_seconds_total", "From slots to first tokens, summed.",
            s->prefill.sum_s);
    counter(b, "llamacpp:tokens_predicted_total", "Reply tokens generated.", s->n_reply_tokens);
    seconds(b, "llamacpp:tokens_predicted_seconds_total", "From first to last tokens, summed.",
            s->decode.sum_s);
    counter(b, "llamacpp:n_decode_total", "Steps computed.", s->n_steps);
    counter(b, "llamacpp:n_tokens_max", "Prompt and reply of the longest stream that ended.",
            s->n_tokens_max);
}

/* There is no speculation in this version: nothing was drafted. */
static void drafts(struct strbuf *b)
{
    counter(b, "llamacpp:spec_decode_num_drafts_total", "Drafts.", 0);
    counter(b, "llamacpp:spec_decode_num_draft_tokens_total", "Drafted tokens.", 0);
    counter(b, "llamacpp:spec_decode_num_accepted_tokens_total", "Drafted tokens accepted.", 0);
}

void metrics_llama(struct strbuf *b, const pl_stats *s)
{
    totals(b, s);
    drafts(b);
    metric_gauge(b, "llamacpp:prompt_tokens_seconds", NULL,
                 "Prompt tokens computed a second of a stream's prompt.",
                 ratio((double)(s->n_prompt_tokens - s->n_cached_tokens), s->prefill.sum_s));
    metric_gauge(b, "llamacpp:predicted_tokens_seconds", NULL,
                 "Reply tokens a second, of the last seconds.", s->reply_tokens_per_s);
    metric_gauge(b, "llamacpp:requests_processing", NULL, "Requests in a slot.", s->n_running);
    metric_gauge(b, "llamacpp:requests_deferred", NULL, "Requests waiting for a slot.",
                 s->n_queued);
    metric_gauge(b, "llamacpp:n_busy_slots_per_decode", NULL, "Reply tokens a step.",
                 ratio((double)s->n_reply_tokens, (double)s->n_steps));
}
