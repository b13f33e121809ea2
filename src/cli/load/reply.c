#include "cli/load/reply.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { MAX_BODY_BYTES = 64 << 20, MAX_ERROR_BYTES = 64 << 10, MAX_SHOWN = 80 };

/* ---- what the JSON says --------------------------------------------------------------------- */

static bool is_text(const json_t *v)
{
    return json_string_length(v) > 0;
}

static bool has_generated(const json_t *choice)
{
    const json_t *delta = json_object_get(choice, "delta");
    return is_text(json_object_get(delta, "content")) || is_text(json_object_get(choice, "text")) ||
           is_text(json_object_get(delta, "reasoning_content")) ||
           is_text(json_object_get(delta, "reasoning")) ||
           is_text(json_object_get(delta, "refusal")) ||
           json_array_size(json_object_get(delta, "tool_calls")) > 0;
}

static uint64_t count(const json_t *object, const char *name)
{
    const json_int_t n = json_integer_value(json_object_get(object, name));
    return n > 0 ? (uint64_t)n : 0;
}

/* Some servers tell usage so far in every chunk: the last one stands. */
static void take_usage(struct load_record *r, const json_t *document)
{
    const json_t *usage = json_object_get(document, "usage");
    if (!json_is_integer(json_object_get(usage, "completion_tokens"))) return;
    r->has_usage = true;
    r->n_output = count(usage, "completion_tokens");
    r->n_prompt = count(usage, "prompt_tokens");
    r->n_cached = count(json_object_get(usage, "prompt_tokens_details"), "cached_tokens");
}

/* The message of an error document in one of the shapes servers use; NULL: there is none. */
static const char *error_message(const json_t *document)
{
    const json_t *error = json_object_get(document, "error");
    const json_t *found = json_object_get(error, "message");
    if (!json_is_string(found)) found = error;
    if (!json_is_string(found)) found = json_object_get(document, "message");
    if (!json_is_string(found)) found = json_object_get(document, "detail");
    return json_string_value(found);
}

static void fail_json(struct load_reply *r, const char *what, const char *text, const char *why)
{
    char shown[MAX_SHOWN + 240];
    snprintf(shown, sizeof shown, "%s: %s: \"%.*s\"", what, why, MAX_SHOWN, text);
    load_record_fail(r->record, LOAD_BAD_REPLY, shown);
}

static void take_choices(struct load_reply *r, const json_t *choices)
{
    bool is_chunk = false;
    for (size_t i = 0; i < json_array_size(choices); i++) {
        const json_t *choice = json_array_get(choices, i);
        is_chunk |= has_generated(choice);
        r->has_finish |= json_is_string(json_object_get(choice, "finish_reason"));
    }
    if (is_chunk) load_record_add_chunk(r->record, r->now_ns);
}

static void on_event(void *arg, const char *data, size_t n_bytes)
{
    struct load_reply *r = arg;
    json_error_t why;

    r->has_event = true;
    if (!strcmp(data, "[DONE]")) {
        r->has_done = true;
        return;
    }
    json_t *event = json_loadb(data, n_bytes, 0, &why);
    const json_t *choices = json_object_get(event, "choices");
    const json_t *error = json_object_get(event, "error");
    if (!event) {
        fail_json(r, "bad JSON in the stream", data, why.text);
    } else if (error && !json_is_null(error)) {
        const char *message = error_message(event);
        load_record_fail(r->record, LOAD_ERROR_EVENT, message ? message : data);
    } else if (!json_is_array(choices) && !json_object_get(event, "usage")) {
        fail_json(r, "bad JSON in the stream", data, "neither \"choices\" nor \"usage\"");
    } else {
        take_choices(r, choices);
        take_usage(r->record, event);
    }
    json_decref(event);
}

/* ---- the bytes ------------------------------------------------------------------------------ */

static bool is_success(const struct load_record *r)
{
    return r->status >= 200 && r->status < 300;
}

/* What was asked for as a stream is read as one unless it is said to be JSON. */
void load_reply_head(struct load_reply *r, int status, const char *content_type)
{
    static const char json[] = "application/json";
    const bool is_json = content_type && !strncasecmp(content_type, json, sizeof json - 1);
    r->has_head = true;
    r->record->status = status;
    r->is_events = r->wants_stream && is_success(r->record) && !is_json;
    r->record->is_streamed = r->is_events;
}

void load_reply_bytes(struct load_reply *r, const char *bytes, size_t n_bytes, uint64_t now_ns)
{
    r->now_ns = r->record->end_ns = now_ns;
    if (r->is_events) {
        if (r->record->outcome == LOAD_OK && !sse_feed(&r->sse, bytes, n_bytes, on_event, r))
            load_record_fail(r->record, LOAD_BAD_REPLY, "an event of the stream is too large");
        return;
    }
    const size_t most = is_success(r->record) ? MAX_BODY_BYTES : MAX_ERROR_BYTES;
    if (r->body.n + n_bytes <= most) strbuf_add(&r->body, bytes, n_bytes);
    else if (is_success(r->record))
        load_record_fail(r->record, LOAD_BAD_REPLY, "the reply is larger than 64 MiB");
}

/* ---- the end -------------------------------------------------------------------------------- */

static void end_http_error(struct load_reply *r)
{
    json_t *document = json_loadb(r->body.n ? r->body.bytes : "", r->body.n, 0, NULL);
    const char *message = error_message(document);
    load_record_fail(r->record, LOAD_HTTP, message ? message : r->body.n ? r->body.bytes : "");
    json_decref(document);
}

static void end_whole(struct load_reply *r)
{
    const char *text = r->body.n ? r->body.bytes : "";
    json_error_t why;
    json_t *document = json_loadb(text, r->body.n, 0, &why);
    const json_t *error = json_object_get(document, "error");
    if (!document) {
        fail_json(r, "bad JSON", text, why.text);
    } else if (error && !json_is_null(error)) {
        const char *message = error_message(document);
        load_record_fail(r->record, LOAD_ERROR_EVENT, message ? message : text);
    } else if (!json_is_array(json_object_get(document, "choices"))) {
        fail_json(r, "bad JSON", text, "no \"choices\"");
    } else {
        take_usage(r->record, document);
    }
    json_decref(document);
}

static void end_stream(struct load_reply *r)
{
    struct load_record *record = r->record;
    if (!r->has_event)
        load_record_fail(record, LOAD_BAD_REPLY, "the reply has no event");
    else if (!r->has_done && !r->has_finish)
        load_record_fail(record, LOAD_CUT, "the stream ended before a finish_reason or [DONE]");
}

void load_reply_end(struct load_reply *r, enum load_outcome transport, const char *text)
{
    struct load_record *record = r->record;

    if (r->has_head && !is_success(record)) end_http_error(r);
    else if (transport != LOAD_OK && !r->has_done) load_record_fail(record, transport, text);
    else if (r->is_events) end_stream(r);
    else end_whole(r);
    if (!record->has_usage) record->n_output = record->n_chunks;
    sse_free(&r->sse);
    strbuf_free(&r->body);
    *r = (struct load_reply){ .wants_stream = r->wants_stream };
}
