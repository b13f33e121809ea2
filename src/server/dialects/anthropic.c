/* The documents and events of Anthropic's messages. A reply is a list of blocks: thoughts, text,
 * and each call of a tool. */
#include "server/dialects/anthropic.h"

#include <inttypes.h>
#include <string.h>

#include "server/answer_error.h"
#include "server/call_id.h"
#include "server/json_text.h"
#include "server/model_names.h"
#include "server/state.h"

/* ---- what ends a message -------------------------------------------------------------------- */

static const char *stop_reason(const struct completion *c, const struct choice *ch)
{
    if (ch->finish == PL_FINISH_LENGTH) return "max_tokens";
    if (ch->reader.n_calls) return "tool_use";
    return completion_stop_string(c, ch) ? "stop_sequence" : "end_turn";
}

/* "stop_reason":...,"stop_sequence":... */
static void add_stop(const struct completion *c, const struct choice *ch, struct strbuf *to)
{
    const char *string = completion_stop_string(c, ch);
    strbuf_addf(to, "\"stop_reason\":\"%s\",\"stop_sequence\":", stop_reason(c, ch));
    if (string) json_text_add(to, string, strlen(string));
    else strbuf_add_str(to, "null");
}

/* "usage":{...}: what was at hand is not counted as input. */
static void add_usage(const struct completion *c, struct strbuf *to)
{
    const struct completion_sums sums = completion_sums(c);
    strbuf_addf(to, "\"usage\":{\"input_tokens\":%" PRIu64 ",\"cache_creation_input_tokens\":0,"
                "\"cache_read_input_tokens\":%" PRIu64 ",\"output_tokens\":%" PRIu64 "}",
                sums.n_prompt - sums.n_cached, sums.n_cached, sums.n_reply);
}

static void add_head(const struct completion *c, struct strbuf *to)
{
    const char *model = model_names_first(c->exchange->server);
    strbuf_addf(to, "{\"id\":\"%s\",\"type\":\"message\",\"role\":\"assistant\",\"model\":", c->id);
    json_text_add(to, model, strlen(model));
}

/* ---- one document --------------------------------------------------------------------------- */

static void add_call_block(const struct completion *c, uint32_t call, struct strbuf *to)
{
    const struct tool_call *t = &c->choice[0].reader.call[call];
    strbuf_add_str(to, "{\"type\":\"tool_use\",\"id\":\"");
    call_id_add(to, c->id, 0, call);
    strbuf_add_str(to, "\",\"name\":");
    json_text_add(to, t->name, strlen(t->name));
    strbuf_addf(to, ",\"input\":%s}", t->arguments);
}

static void add_blocks(const struct completion *c, struct strbuf *to)
{
    const struct reply_reader *r = &c->choice[0].reader;
    const char *comma = "";
    if (r->thoughts.n) {
        strbuf_add_str(to, "{\"type\":\"thinking\",\"thinking\":");
        json_text_add(to, r->thoughts.bytes, r->thoughts.n);
        strbuf_add_str(to, ",\"signature\":\"\"}");
        comma = ",";
    }
    if (r->has_told || !(r->n_calls || r->thoughts.n)) {
        strbuf_addf(to, "%s{\"type\":\"text\",\"text\":", comma);
        json_text_add(to, r->content.n ? r->content.bytes : "", r->content.n);
        strbuf_add_str(to, "}");
        comma = ",";
    }
    for (uint32_t i = 0; i < r->n_calls; i++, comma = ",") {
        strbuf_add_str(to, comma);
        add_call_block(c, i, to);
    }
}

static void write_document(struct completion *c, struct strbuf *to)
{
    add_head(c, to);
    strbuf_add_str(to, ",\"content\":[");
    add_blocks(c, to);
    strbuf_add_str(to, "],");
    add_stop(c, &c->choice[0], to);
    strbuf_add_str(to, ",");
    add_usage(c, to);
    strbuf_add_str(to, "}");
}

/* ---- a stream ------------------------------------------------------------------------------- */

/* The rest of the object and close_event are the caller's. */
static void open_event(struct completion *c, const char *type)
{
    strbuf_addf(&c->out, "event: %s\ndata: {\"type\":\"%s\"", type, type);
}

static void close_event(struct completion *c)
{
    strbuf_add_str(&c->out, "}\n\n");
}

static void message_start(struct completion *c, uint32_t choice)
{
    (void)choice;
    open_event(c, "message_start");
    strbuf_add_str(&c->out, ",\"message\":");
    add_head(c, &c->out);
    strbuf_add_str(&c->out, ",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,");
    add_usage(c, &c->out);
    strbuf_add_str(&c->out, "}");
    close_event(c);
}

/* The block's object is the caller's, and close_event. */
static void open_block(struct completion *c, struct choice *ch)
{
    open_event(c, "content_block_start");
    strbuf_addf(&c->out, ",\"index\":%u,\"content_block\":", ch->n_parts++);
}

static void open_delta(struct completion *c, const struct choice *ch, const char *type,
                       const char *member)
{
    open_event(c, "content_block_delta");
    strbuf_addf(&c->out, ",\"index\":%u,\"delta\":{\"type\":\"%s\",\"%s\":", ch->n_parts - 1, type,
                member);
}

static void delta(struct completion *c, const struct choice *ch, const char *type,
                  const char *member, const char *text, size_t n)
{
    open_delta(c, ch, type, member);
    json_text_add(&c->out, text, n);
    strbuf_add_str(&c->out, "}");
    close_event(c);
}

static void stop_block(struct completion *c, struct choice *ch)
{
    open_event(c, "content_block_stop");
    strbuf_addf(&c->out, ",\"index\":%u", ch->n_parts - 1);
    close_event(c);
    ch->open_part = PART_NONE;
}

/* Thoughts are signed where their writer must know them again: here nobody need. */
static void end_part(struct completion *c, struct choice *ch)
{
    if (ch->open_part == PART_THOUGHTS) delta(c, ch, "signature_delta", "signature", "", 0);
    if (ch->open_part != PART_NONE) stop_block(c, ch);
}

static void tell_thoughts(struct completion *c, struct choice *ch)
{
    struct strbuf *thoughts = &ch->reader.thoughts;
    if (!thoughts->n) return;
    if (ch->open_part != PART_THOUGHTS) {
        end_part(c, ch);
        open_block(c, ch);
        strbuf_add_str(&c->out, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}");
        close_event(c);
        ch->open_part = PART_THOUGHTS;
    }
    delta(c, ch, "thinking_delta", "thinking", thoughts->bytes, thoughts->n);
    strbuf_clear(thoughts);
}

static void begin_text(struct completion *c, struct choice *ch)
{
    end_part(c, ch);
    open_block(c, ch);
    strbuf_add_str(&c->out, "{\"type\":\"text\",\"text\":\"\"}");
    close_event(c);
    ch->open_part = PART_CONTENT;
}

/* Spaces that are all that was told, before a call, are no block. */
static void tell_content(struct completion *c, struct choice *ch)
{
    struct strbuf *content = &ch->reader.content;
    if (!content->n || (ch->open_part != PART_CONTENT && !ch->reader.has_told)) return;
    if (ch->open_part != PART_CONTENT) begin_text(c, ch);
    delta(c, ch, "text_delta", "text", content->bytes, content->n);
    strbuf_clear(content);
}

static void tell_calls(struct completion *c, struct choice *ch)
{
    const struct reply_reader *r = &ch->reader;
    for (; ch->n_calls_told < r->n_calls; ch->n_calls_told++) {
        const struct tool_call *t = &r->call[ch->n_calls_told];
        end_part(c, ch);
        open_block(c, ch);
        strbuf_add_str(&c->out, "{\"type\":\"tool_use\",\"id\":\"");
        call_id_add(&c->out, c->id, 0, ch->n_calls_told);
        strbuf_add_str(&c->out, "\",\"name\":");
        json_text_add(&c->out, t->name, strlen(t->name));
        strbuf_add_str(&c->out, ",\"input\":{}}");
        close_event(c);
        delta(c, ch, "input_json_delta", "partial_json", t->arguments, strlen(t->arguments));
        stop_block(c, ch);
    }
}

static void message_end(struct completion *c, struct choice *ch)
{
    if (!ch->n_parts) begin_text(c, ch);    /* a message without any block confuses clients */
    end_part(c, ch);
    open_event(c, "message_delta");
    strbuf_add_str(&c->out, ",\"delta\":{");
    add_stop(c, ch, &c->out);
    strbuf_add_str(&c->out, "},");
    add_usage(c, &c->out);
    close_event(c);
}

static void tell_event(struct completion *c, uint32_t choice, const pl_event *e)
{
    struct choice *ch = &c->choice[choice];
    tell_thoughts(c, ch);
    tell_content(c, ch);
    tell_calls(c, ch);
    if (e->kind == PL_EVENT_END) message_end(c, ch);
}

static void end(struct completion *c)
{
    if (finish_is_failure(c->choice[0].finish)) return;
    open_event(c, "message_stop");
    close_event(c);
}

static void failure(struct completion *c, unsigned status, const char *code, const char *text)
{
    strbuf_add_str(&c->out, "event: error\ndata: ");
    answer_error_text(&c->out, ERRORS_ANTHROPIC, status,
                      &(struct answer_error){ .code = code, .message = text });
    strbuf_add_str(&c->out, "\n\n");
}

static const char *param_name(const struct completion *c, const char *param)
{
    (void)c;
    return strcmp(param, "stop") ? param : "stop_sequences";
}

const struct dialect dialect_messages = {
    .id_prefix = "msg_", .is_chat = true, .stream_type = EVENT_STREAM,
    .ping = "event: ping\ndata: {\"type\":\"ping\"}\n\n", .translate = anthropic_translate,
    .param_name = param_name,
    .start = message_start, .event = tell_event, .end = end, .failure = failure,
    .document = write_document,
};
