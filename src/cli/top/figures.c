#include "cli/top/figures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/top/prom_text.h"

/* Samples of one name that differ in labels (engines, models) are added up, except shares. */
enum figure_kind { SUM, LARGEST, HISTOGRAM, LIST };

struct figure {
    const char *name;
    enum figure_kind kind;
    size_t at;
    const char *label;                      /* LIST: whose value names the item */
};

#define AT(member) offsetof(struct top_figures, member)

static const struct figure paceline_names[] = {
    { "paceline_slots", SUM, AT(slots), NULL },
    { "paceline_streams_running", SUM, AT(running), NULL },
    { "paceline_streams_queued", SUM, AT(queued), NULL },
    { "paceline_queued_tokens", SUM, AT(queued_tokens), NULL },
    { "paceline_context_tokens", SUM, AT(context_tokens), NULL },
    { "paceline_kv_pages", SUM, AT(kv_pages), NULL },
    { "paceline_kv_pages_used", SUM, AT(kv_used), NULL },
    { "paceline_kv_pages_cached", SUM, AT(kv_cached), NULL },
    { "paceline_requests_total", SUM, AT(requests), NULL },
    { "paceline_prompt_tokens_total", SUM, AT(prompt_tokens), NULL },
    { "paceline_prefill_step_tokens_total", SUM, AT(computed_tokens), NULL },
    { "paceline_cached_tokens_total", SUM, AT(cached_tokens), NULL },
    { "paceline_reply_tokens_total", SUM, AT(reply_tokens), NULL },
    { "llm_tokens_per_second", SUM, AT(reply_tokens_per_s), NULL },
    { "paceline_resident_memory_bytes", SUM, AT(resident_bytes), NULL },
    { "paceline_healthy", SUM, AT(is_healthy), NULL },
    { "paceline_thermal_throttled", LARGEST, AT(is_throttled), NULL },
    { "paceline_memory_planned_bytes", LIST, AT(pools), "pool" },
    { "paceline_rejected_total", LIST, AT(rejects), "reason" },
    { "paceline_time_to_first_token_seconds_bucket", HISTOGRAM, AT(ttft), NULL },
    { "paceline_inter_token_latency_seconds_bucket", HISTOGRAM, AT(inter_token), NULL },
    { "paceline_queue_seconds_bucket", HISTOGRAM, AT(queue), NULL },
};

static const struct figure vllm_names[] = {
    { "vllm:num_requests_running", SUM, AT(running), NULL },
    { "vllm:num_requests_waiting", SUM, AT(queued), NULL },
    { "vllm:kv_cache_usage_perc", LARGEST, AT(kv_share), NULL },
    { "vllm:gpu_cache_usage_perc", LARGEST, AT(kv_share), NULL },
    { "vllm:prompt_tokens_total", SUM, AT(prompt_tokens), NULL },
    { "vllm:prefix_cache_hits_total", SUM, AT(cached_tokens), NULL },
    { "vllm:generation_tokens_total", SUM, AT(reply_tokens), NULL },
    { "vllm:request_success_total", SUM, AT(requests), NULL },
    { "vllm:time_to_first_token_seconds_bucket", HISTOGRAM, AT(ttft), NULL },
    { "vllm:inter_token_latency_seconds_bucket", HISTOGRAM, AT(inter_token), NULL },
    { "vllm:time_per_output_token_seconds_bucket", HISTOGRAM, AT(inter_token), NULL },
    { "vllm:request_queue_time_seconds_bucket", HISTOGRAM, AT(queue), NULL },
};

static const struct figure llama_names[] = {
    { "llamacpp:requests_processing", SUM, AT(running), NULL },
    { "llamacpp:requests_deferred", SUM, AT(queued), NULL },
    { "llamacpp:kv_cache_usage_ratio", LARGEST, AT(kv_share), NULL },
    { "llamacpp:prompt_tokens_total", SUM, AT(prompt_tokens), NULL },
    { "llamacpp:prompt_tokens_cached_total", SUM, AT(cached_tokens), NULL },
    { "llamacpp:tokens_predicted_total", SUM, AT(reply_tokens), NULL },
};

static const struct dialect {
    const char *name, *prefix;
    const struct figure *figure;
    size_t n;
} dialects[] = {
    { "paceline", "paceline_", paceline_names, sizeof paceline_names / sizeof *paceline_names },
    { "vLLM", "vllm:", vllm_names, sizeof vllm_names / sizeof *vllm_names },
    { "llama-server", "llamacpp:", llama_names, sizeof llama_names / sizeof *llama_names },
};

static const struct dialect *dialect_of(const char *text, size_t n)
{
    const struct dialect *best = NULL;
    struct prom_reader r = prom_begin(text, n);
    for (struct prom_sample s; prom_next(&r, &s);)
        for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++) {
            const size_t n_prefix = strlen(dialects[i].prefix);
            if (s.n_name > n_prefix && !memcmp(s.name, dialects[i].prefix, n_prefix) &&
                (!best || &dialects[i] < best))
                best = &dialects[i];
        }
    return best;
}

static void add_to_histogram(struct top_histogram *h, const struct prom_sample *s)
{
    char le[32], *end;
    uint32_t i = 0;
    if (!prom_label(s, "le", le, sizeof le)) return;
    const double bound = strtod(le, &end);
    if (*end || end == le || isnan(bound)) return;
    while (i < h->n && h->bound[i] < bound) i++;
    if (i == h->n || h->bound[i] != bound) {
        if (h->n == TOP_MAX_BOUNDS) return;
        memmove(&h->bound[i + 1], &h->bound[i], (h->n - i) * sizeof *h->bound);
        memmove(&h->count[i + 1], &h->count[i], (h->n - i) * sizeof *h->count);
        h->bound[i] = bound;
        h->count[i] = 0;
        h->n++;
    }
    h->count[i] += s->value;
}

static void add_to_list(struct top_list *list, const struct prom_sample *s, const char *label)
{
    struct top_named item = { .value = s->value };
    if (!prom_label(s, label, item.name, sizeof item.name)) return;
    for (uint32_t i = 0; i < list->n; i++)
        if (!strcmp(list->item[i].name, item.name)) {
            list->item[i].value += item.value;
            return;
        }
    if (list->n < TOP_MAX_NAMED) list->item[list->n++] = item;
}

static void take(struct top_figures *out, const struct figure *f, const struct prom_sample *s)
{
    char *at = (char *)out + f->at;
    if (!isfinite(s->value)) return;
    if (f->kind == HISTOGRAM) {
        add_to_histogram((struct top_histogram *)(void *)at, s);
    } else if (f->kind == LIST) {
        add_to_list((struct top_list *)(void *)at, s, f->label);
    } else {
        double *x = (double *)(void *)at;
        if (isnan(*x)) *x = s->value;
        else if (f->kind == SUM) *x += s->value;
        else *x = fmax(*x, s->value);
    }
}

static void take_text(char *to, size_t n_to, const struct prom_sample *s, const char *label)
{
    if (!*to && !prom_label(s, label, to, n_to)) *to = 0;
}

static void take_names(struct top_figures *out, const struct prom_sample *s)
{
    if (prom_is(s, "paceline_build_info")) {
        take_text(out->version, sizeof out->version, s, "version");
        take_text(out->backend, sizeof out->backend, s, "backend");
        take_text(out->isa, sizeof out->isa, s, "isa");
        take_text(out->model, sizeof out->model, s, "model");
    } else if (prom_is(s, "vllm:num_requests_running")) {
        take_text(out->model, sizeof out->model, s, "model_name");
    }
}

static void forget(struct top_figures *f)
{
    double *const figures[] = {
        &f->slots, &f->running, &f->queued, &f->queued_tokens, &f->context_tokens, &f->kv_pages,
        &f->kv_used, &f->kv_cached, &f->kv_share, &f->requests,
        &f->prompt_tokens, &f->computed_tokens, &f->cached_tokens, &f->reply_tokens,
        &f->reply_tokens_per_s, &f->resident_bytes, &f->is_healthy, &f->is_throttled,
    };
    memset(f, 0, sizeof *f);
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) *figures[i] = NAN;
}

void top_figures_read(struct top_figures *out, const char *text, size_t n)
{
    forget(out);
    const struct dialect *d = dialect_of(text, n);
    if (!d) return;
    out->dialect = d->name;
    struct prom_reader r = prom_begin(text, n);
    for (struct prom_sample s; prom_next(&r, &s);) {
        take_names(out, &s);
        for (size_t i = 0; i < d->n; i++)
            if (prom_is(&s, d->figure[i].name)) take(out, &d->figure[i], &s);
    }
    if (isnan(out->kv_share) && out->kv_pages > 0) out->kv_share = out->kv_used / out->kv_pages;
}

/* What a bound counted at the time of `before`, which may lack it. */
static double count_before(const struct top_histogram *before, uint32_t i, double bound)
{
    return before && i < before->n && before->bound[i] == bound ? before->count[i] : 0;
}

double top_quantile(const struct top_histogram *now, const struct top_histogram *before, double q)
{
    if (now->n < 2 || !isinf(now->bound[now->n - 1])) return NAN;
    const double all = now->count[now->n - 1] -
                       count_before(before, now->n - 1, now->bound[now->n - 1]);
    if (!(all > 0)) return NAN;
    double below = 0, from = 0;
    for (uint32_t i = 0; i + 1 < now->n; i++) {
        const double n = now->count[i] - count_before(before, i, now->bound[i]);
        if (n >= q * all && n > below)
            return from + (now->bound[i] - from) * (q * all - below) / (n - below);
        below = n;
        from = now->bound[i];
    }
    return from;                            /* beyond the last bound that is a number */
}
