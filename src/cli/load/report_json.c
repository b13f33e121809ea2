#include "cli/load/report.h"

static json_t *number_or_null(double value, bool has_it)
{
    return has_it ? json_real(value) : json_null();
}

static json_t *settings_json(const struct load_options *o)
{
    char prompts[256];
    load_prompts_describe(o->prompts, prompts, sizeof prompts);
    return json_pack(
        "{s:s s:s s:o s:o s:o s:o s:I s:o s:I s:s s:I s:b s:o s:b s:f s:O*}", "url", o->base_url,
        "endpoint", o->is_chat ? "chat" : "completions",
        "concurrency", load_is_open(o) ? json_null() : json_integer(o->concurrency),
        "rate_per_s", number_or_null(o->rate, load_is_open(o)),
        "max_in_flight", load_is_open(o) ? json_integer(o->max_in_flight) : json_null(),
        "requests", o->n_requests ? json_integer((json_int_t)o->n_requests) : json_null(),
        "warmup", (json_int_t)o->n_warmup, "duration_s",
        number_or_null(o->duration_s, o->duration_s > 0), "seed", (json_int_t)o->seed, "prompts",
        prompts, "max_tokens", (json_int_t)o->max_tokens, "ignore_eos", o->ignore_eos,
        "temperature", number_or_null(o->temperature, o->temperature >= 0), "stream", o->stream,
        "timeout_s", o->timeout_s, "extra", o->extra);
}

static json_t *summary_json(const struct load_summary *s)
{
    if (!s->n) return json_null();
    return json_pack("{s:I s:f s:f s:f s:f s:f s:f}", "n", (json_int_t)s->n, "mean", s->mean, "p50",
                     s->p50, "p90", s->p90, "p95", s->p95, "p99", s->p99, "max", s->max);
}

static json_t *errors_json(const struct load_figures *f)
{
    json_t *all = json_array();
    for (size_t i = 0; i < f->n_errors; i++) {
        const struct load_error *e = &f->errors[i];
        json_array_append_new(all, json_pack(
            "{s:s s:o s:I s:s s:o}", "kind", load_outcome_name(e->outcome), "status",
            e->status ? json_integer(e->status) : json_null(), "count", (json_int_t)e->n, "message",
            e->message, "retry_after_s", number_or_null(e->retry_after_s, e->retry_after_s >= 0)));
    }
    return all;
}

/* A time after the beginning of the counted run. */
static json_t *after(const struct load_run *run, uint64_t ns, bool has_it)
{
    return number_or_null(((double)ns - (double)run->begin_ns) * 1e-9, has_it);
}

static json_t *record_json(const struct load_run *run, const struct load_record *r)
{
    const bool has_first = r->n_chunks > 0;
    return json_pack(
        "{s:s s:o s:s* s:o s:o s:o s:o s:o s:o s:I s:I s:I s:I s:b}", "outcome",
        load_outcome_name(r->outcome), "status", r->status ? json_integer(r->status) : json_null(),
        "message", r->message, "retry_after_s",
        number_or_null(r->retry_after_s, r->retry_after_s >= 0), "scheduled_s",
        after(run, r->scheduled_ns, true), "send_s", after(run, r->send_ns, true), "first_s",
        after(run, has_first ? r->chunk_ns[0] : 0, has_first), "last_s",
        after(run, has_first ? r->chunk_ns[r->n_chunks - 1] : 0, has_first), "end_s",
        after(run, r->end_ns, true), "prompt_tokens", (json_int_t)r->n_prompt, "cached_tokens",
        (json_int_t)r->n_cached, "output_tokens", (json_int_t)r->n_output, "chunks",
        (json_int_t)r->n_chunks, "has_usage", r->has_usage);
}

static json_t *requests_json(const struct load_result *r)
{
    const struct load_figures *f = r->figures;
    return json_pack("{s:I s:I s:I s:I s:I s:I s:I}", "ok", (json_int_t)f->n_ok, "failed",
                     (json_int_t)f->n_failed, "dropped", (json_int_t)f->n_dropped, "warmup",
                     (json_int_t)r->run->n_warmup, "warmup_failed",
                     (json_int_t)r->run->n_warmup_failed, "without_usage",
                     (json_int_t)f->n_without_usage, "not_streamed", (json_int_t)f->n_not_streamed);
}

json_t *load_report_json(const struct load_result *r, bool records)
{
    const struct load_figures *f = r->figures;
    json_t *all = json_pack(
        "{s:s s:s s:s s:s s:o s:b s:o s:f s:f s:f s:f s:I s:I s:I}", "kind", "load", "version",
        PL_VERSION, "time", r->time, "model", r->o->model, "settings", settings_json(r->o),
        "interrupted", r->run->was_interrupted, "requests", requests_json(r), "wall_s", f->wall_s,
        "requests_per_s", f->requests_per_s, "output_tok_s", f->output_tok_s, "total_tok_s",
        f->total_tok_s, "prompt_tokens", (json_int_t)f->n_prompt, "cached_tokens",
        (json_int_t)f->n_cached, "output_tokens", (json_int_t)f->n_output);
    for (int i = 0; i < LOAD_N_FIGURES; i++)
        if (load_is_open(r->o) || !load_figure_names[i].is_of_open_loop)
            json_object_set_new(all, load_figure_names[i].key, summary_json(&f->summary[i]));
    json_object_set_new(all, "errors", errors_json(f));
    if (!records) return all;
    json_t *list = json_array();
    for (size_t i = 0; i < r->run->n_records; i++)
        json_array_append_new(list, record_json(r->run, &r->run->records[i]));
    json_object_set_new(all, "records", list);
    return all;
}
