#include "server/dialects/responses_output.h"

#include <stdio.h>
#include <string.h>

#include "server/call_id.h"
#include "server/dialects/responses.h"
#include "server/dialects/responses_events.h"
#include "server/json_text.h"

enum { ITEM_ID_BYTES = 64 };

/* Of the item that is open, or comes next. */
static const char *item_id(const struct completion *c, const char *prefix, char *to)
{
    const struct response *r = c->own;
    snprintf(to, ITEM_ID_BYTES, "%s_%s_%u", prefix, c->id + sizeof RESPONSE_ID_PREFIX - 1,
             r->n_output);
    return to;
}

static const char *prefix_of(enum output_kind kind)
{
    return kind == OUTPUT_REASONING ? "rs" : "msg";
}

/* ---- items ---------------------------------------------------------------------------------- */

/* The content of the open item: its one part. */
static void add_part(const struct response *r, struct strbuf *to)
{
    const bool is_message = r->open == OUTPUT_MESSAGE;
    strbuf_addf(to, "{\"type\":\"%s\",\"text\":", is_message ? "output_text" : "reasoning_text");
    json_text_add(to, r->text.bytes, r->text.n);
    if (is_message)
        strbuf_addf(to, ",\"annotations\":[],\"logprobs\":[%s]",
                    r->logprobs.n ? r->logprobs.bytes : "");
    strbuf_add_str(to, "}");
}

/* The open item; as it begins it has no part. */
static void add_item(const struct completion *c, const char *status, bool has_part,
                     struct strbuf *to)
{
    const struct response *r = c->own;
    char id[ITEM_ID_BYTES];
    strbuf_addf(to, "{\"id\":\"%s\",\"type\":\"%s\",\"status\":\"%s\",%s,\"content\":[",
                item_id(c, prefix_of(r->open), id),
                r->open == OUTPUT_MESSAGE ? "message" : "reasoning", status,
                r->open == OUTPUT_MESSAGE ? "\"role\":\"assistant\"" : "\"summary\":[]");
    if (has_part) add_part(r, to);
    strbuf_add_str(to, "]}");
}

static void add_call(const struct completion *c, uint32_t i, bool is_begun, struct strbuf *to)
{
    const struct tool_call *call = &c->choice[0].reader.call[i];
    char id[ITEM_ID_BYTES];
    strbuf_addf(to, "{\"id\":\"%s\",\"type\":\"function_call\",\"status\":\"%s\",\"call_id\":\"",
                item_id(c, "fc", id), is_begun ? "in_progress" : "completed");
    call_id_add(to, c->id, 0, i);
    strbuf_add_str(to, "\",\"name\":");
    json_text_add(to, call->name, strlen(call->name));
    strbuf_add_str(to, ",\"arguments\":");
    json_text_add(to, call->arguments, is_begun ? 0 : strlen(call->arguments));
    strbuf_add_str(to, "}");
}

/* ---- events --------------------------------------------------------------------------------- */

/* Of the open item or call. */
static struct strbuf *open_event(struct completion *c, const char *type, const char *prefix)
{
    const struct response *r = c->own;
    char id[ITEM_ID_BYTES];
    struct strbuf *to = responses_event_open(c, type);
    if (to)
        strbuf_addf(to, ",\"output_index\":%u,\"item_id\":\"%s\"", r->n_output,
                    item_id(c, prefix, id));
    return to;
}

/* Of the open item's one part. */
static struct strbuf *open_part_event(struct completion *c, const char *type)
{
    const struct response *r = c->own;
    struct strbuf *to = open_event(c, type, prefix_of(r->open));
    if (to) strbuf_add_str(to, ",\"content_index\":0");
    return to;
}

static void tell_part(struct completion *c, const char *type)
{
    struct strbuf *to = open_part_event(c, type);
    if (!to) return;
    strbuf_add_str(to, ",\"part\":");
    add_part(c->own, to);
    responses_event_close(to);
}

/* ,"delta":... or ,"text":...; messages have the log-probabilities of its tokens beside. */
static void tell_text(struct completion *c, bool is_delta, const struct strbuf *text,
                      const struct strbuf *logprobs)
{
    static const char *const types[2][2] = {
        { "response.reasoning_text.done", "response.reasoning_text.delta" },
        { "response.output_text.done", "response.output_text.delta" },
    };
    const bool is_message = ((struct response *)c->own)->open == OUTPUT_MESSAGE;
    struct strbuf *to = open_part_event(c, types[is_message][is_delta]);
    if (!to) return;
    strbuf_addf(to, ",\"%s\":", is_delta ? "delta" : "text");
    json_text_add(to, text->bytes, text->n);
    if (is_message)
        strbuf_addf(to, ",\"logprobs\":[%s]", logprobs->n ? logprobs->bytes : "");
    responses_event_close(to);
}

static void tell_item(struct completion *c, const char *type, const char *status, bool has_part)
{
    const struct response *r = c->own;
    struct strbuf *to = responses_event_open(c, type);
    if (!to) return;
    strbuf_addf(to, ",\"output_index\":%u,\"item\":", r->n_output);
    add_item(c, status, has_part, to);
    responses_event_close(to);
}

/* ---- steps ---------------------------------------------------------------------------------- */

/* The item that was written last is whole. */
static void keep(struct response *r, const char *id, const struct strbuf *item)
{
    if (r->n_output++) strbuf_add_str(&r->output, ",");
    strbuf_add(&r->output, item->bytes, item->n);
    if (item->failed) r->output.failed = true;
    if (r->is_stored) item_list_add(&r->items, id, strlen(id), item->bytes, item->n);
}

static void open_item(struct completion *c, enum output_kind kind)
{
    struct response *r = c->own;
    r->open = kind;
    r->has_message = r->has_message || kind == OUTPUT_MESSAGE;
    strbuf_clear(&r->text);
    strbuf_clear(&r->logprobs);
    tell_item(c, "response.output_item.added", "in_progress", false);
    tell_part(c, "response.content_part.added");
}

static void close_item(struct completion *c, const char *status)
{
    struct response *r = c->own;
    char id[ITEM_ID_BYTES];
    struct strbuf item = { 0 };
    if (!r->open) return;
    tell_text(c, false, &r->text, &r->logprobs);
    tell_part(c, "response.content_part.done");
    tell_item(c, "response.output_item.done", status, true);
    add_item(c, status, true, &item);
    keep(r, item_id(c, prefix_of(r->open), id), &item);
    strbuf_free(&item);
    r->open = OUTPUT_NONE;
}

/* Takes the text, and of a message what is known of its tokens. */
static void go_on(struct completion *c, enum output_kind kind, struct strbuf *text)
{
    static const struct strbuf none;
    struct response *r = c->own;
    struct strbuf *logprobs = &c->choice[0].logprobs;
    if (r->open != kind) {
        close_item(c, "completed");
        open_item(c, kind);
    }
    tell_text(c, true, text, kind == OUTPUT_MESSAGE ? logprobs : &none);
    strbuf_add(&r->text, text->bytes, text->n);
    if (r->logprobs.n && logprobs->n) strbuf_add_str(&r->logprobs, ",");
    strbuf_add(&r->logprobs, logprobs->bytes, logprobs->n);
    strbuf_clear(logprobs);
    strbuf_clear(text);
}

static void tell_arguments(struct completion *c, const struct tool_call *call, bool is_delta)
{
    struct strbuf *to = open_event(c, is_delta ? "response.function_call_arguments.delta"
                                               : "response.function_call_arguments.done", "fc");
    if (!to) return;
    if (!is_delta) {
        strbuf_add_str(to, ",\"name\":");
        json_text_add(to, call->name, strlen(call->name));
    }
    strbuf_addf(to, ",\"%s\":", is_delta ? "delta" : "arguments");
    json_text_add(to, call->arguments, strlen(call->arguments));
    responses_event_close(to);
}

static void tell_call(struct completion *c, uint32_t i, bool is_begun)
{
    const struct response *r = c->own;
    struct strbuf *to = responses_event_open(c, is_begun ? "response.output_item.added"
                                                         : "response.output_item.done");
    if (!to) return;
    strbuf_addf(to, ",\"output_index\":%u,\"item\":", r->n_output);
    add_call(c, i, is_begun, to);
    responses_event_close(to);
}

static void take_call(struct completion *c, uint32_t i)
{
    struct response *r = c->own;
    const struct tool_call *call = &c->choice[0].reader.call[i];
    char id[ITEM_ID_BYTES];
    struct strbuf item = { 0 };
    close_item(c, "completed");
    tell_call(c, i, true);
    tell_arguments(c, call, true);
    tell_arguments(c, call, false);
    tell_call(c, i, false);
    add_call(c, i, false, &item);
    keep(r, item_id(c, "fc", id), &item);
    strbuf_free(&item);
}

/* ---- the reply ------------------------------------------------------------------------------ */

/* A token that begins or ends thoughts is one of them; what is told of it goes to no message. */
static void count_thoughts(struct completion *c, const pl_event *e)
{
    struct response *r = c->own;
    struct choice *ch = &c->choice[0];
    const struct reply_reader *reader = &ch->reader;
    const bool was_thinking = r->is_thinking;
    r->is_thinking = reader->state == REPLY_THINKING ||
                     (reader->state == REPLY_BODY && reader->body == &reader->thoughts);
    if (!was_thinking && !r->is_thinking) return;
    r->n_thought_tokens += e->kind == PL_EVENT_TOKEN;
    strbuf_clear(&ch->logprobs);
}

/* A reply of neither text nor calls is an empty message, unless its thoughts were cut off. */
static void finish(struct completion *c, pl_finish finish)
{
    struct response *r = c->own;
    const bool is_cut = finish == PL_FINISH_LENGTH;
    const bool has_any = r->has_message || c->choice[0].reader.n_calls ||
                         (is_cut && (r->open || r->n_output));
    if (!has_any) {
        close_item(c, "completed");
        open_item(c, OUTPUT_MESSAGE);
    }
    close_item(c, is_cut ? "incomplete" : "completed");
}

/* Spaces alone are content only where nothing else comes. */
void responses_output_take(struct completion *c, const pl_event *e)
{
    struct choice *ch = &c->choice[0];
    struct reply_reader *reader = &ch->reader;
    const bool is_end = e->kind == PL_EVENT_END;
    count_thoughts(c, e);
    if (reader->thoughts.n) go_on(c, OUTPUT_REASONING, &reader->thoughts);
    if (reader->content.n && (reader->has_told || (is_end && !reader->n_calls)))
        go_on(c, OUTPUT_MESSAGE, &reader->content);
    while (ch->n_calls_told < reader->n_calls) take_call(c, ch->n_calls_told++);
    if (is_end) finish(c, e->finish);
}
