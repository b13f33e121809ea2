/* Ollama's /api/chat and /api/generate: one object, or a stream of objects, one a line. A stream's
 * last line says `done` and what it took; a line that says `error` is the last, too.
 *
 *   chat       "message": {"role", "content", "thinking", "tool_calls"}
 *   generate   "response", "thinking"; with `raw` there are no thoughts
 *
 * Without a message or a prompt a client wants the model loaded, and is told that it is. */
#include "server/dialect.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "server/answer_error.h"
#include "server/dialects/ollama_names.h"
#include "server/dialects/ollama_request.h"
#include "server/logprobs.h"
#include "server/json_text.h"
#include "server/state.h"

#define LINES "application/x-ndjson"

static const struct dialect load_chat;

/* What a line or a document tells of a reply. */
struct said {
    const char *text, *thoughts;
    size_t n_text, n_thoughts;
    uint32_t first_call;
};

/* ---- parts of an object --------------------------------------------------------------------- */

static void add_head(const struct completion *c, struct strbuf *to)
{
    struct strbuf name = { 0 };
    ollama_name_add(&name, c->exchange->server);
    strbuf_add_str(to, "{\"model\":");
    json_text_add(to, name.n ? name.bytes : "", name.n);
    strbuf_add_str(to, ",\"created_at\":\"");
    ollama_time_add(to, c->created_s);
    strbuf_add_str(to, "\"");
    strbuf_free(&name);
}

static void add_calls(const struct reply_reader *r, uint32_t first, struct strbuf *to)
{
    strbuf_add_str(to, ",\"tool_calls\":[");
    for (uint32_t i = first; i < r->n_calls; i++) {
        strbuf_addf(to, "%s{\"function\":{\"index\":%u,\"name\":", i > first ? "," : "", i);
        json_text_add(to, r->call[i].name, strlen(r->call[i].name));
        strbuf_addf(to, ",\"arguments\":%s}}", r->call[i].arguments);
    }
    strbuf_add_str(to, "]");
}

static bool has_messages(const struct completion *c)
{
    return c->dialect == &dialect_ollama_chat || c->dialect == &load_chat;
}

static void add_said(const struct completion *c, const struct reply_reader *r,
                     const struct said *said, struct strbuf *to)
{
    const bool is_message = has_messages(c);
    strbuf_add_str(to, is_message ? ",\"message\":{\"role\":\"assistant\",\"content\":"
                                  : ",\"response\":");
    json_text_add(to, said->n_text ? said->text : "", said->n_text);
    if (said->n_thoughts) {
        strbuf_add_str(to, ",\"thinking\":");
        json_text_add(to, said->thoughts, said->n_thoughts);
    }
    if (is_message && r && said->first_call < r->n_calls) add_calls(r, said->first_call, to);
    if (is_message) strbuf_add_str(to, "}");
}

/* Of the tokens since the last time. */
static void add_logprobs(struct choice *ch, struct strbuf *to)
{
    if (!ch->logprobs.n) return;
    strbuf_addf(to, ",\"logprobs\":[%s]", ch->logprobs.bytes);
    strbuf_clear(&ch->logprobs);
}

/* load_duration is the time in the queue: the model is loaded. */
static void add_end(const struct completion *c, struct strbuf *to)
{
    const struct completion_sums sums = completion_sums(c);
    if (!c->n_choices) {
        strbuf_add_str(to, ",\"done\":true,\"done_reason\":\"load\"}");
        return;
    }
    strbuf_addf(to, ",\"done\":true,\"done_reason\":\"%s\",\"total_duration\":%" PRIu64
                ",\"load_duration\":%" PRIu64 ",\"prompt_eval_count\":%" PRIu64
                ",\"prompt_eval_duration\":%" PRIu64 ",\"eval_count\":%" PRIu64
                ",\"eval_duration\":%" PRIu64 "}",
                c->choice[0].finish == PL_FINISH_LENGTH ? "length" : "stop",
                clock_ns() - c->exchange->started_ns, sums.queue_ns, sums.n_prompt,
                sums.prefill_ns, sums.n_reply, sums.decode_ns);
}

/* ---- streams -------------------------------------------------------------------------------- */

static void take_token(struct completion *c, uint32_t choice, const pl_event *e)
{
    struct choice *ch = &c->choice[choice];
    if (!c->request.logprobs || e->kind != PL_EVENT_TOKEN) return;
    logprobs_add(&ch->logprobs, c->engine, e);
}

static void forget(struct choice *ch)
{
    struct reply_reader *r = &ch->reader;
    ch->n_calls_told = r->n_calls;
    strbuf_clear(&r->content);
    strbuf_clear(&r->thoughts);
}

static void line_event(struct completion *c, uint32_t choice, const pl_event *e)
{
    struct choice *ch = &c->choice[choice];
    struct reply_reader *r = &ch->reader;
    struct said said = { .text = e->text, .n_text = e->n_text_bytes };
    if (c->request.is_chat)
        said = (struct said){ r->content.bytes, r->thoughts.bytes, r->content.n, r->thoughts.n,
                              ch->n_calls_told };
    const bool has_calls = ch->n_calls_told < r->n_calls;
    if (!said.n_text && !said.n_thoughts && !has_calls && !ch->logprobs.n) return;
    add_head(c, &c->out);
    add_said(c, r, &said, &c->out);
    add_logprobs(ch, &c->out);
    strbuf_add_str(&c->out, ",\"done\":false}\n");
    if (c->request.is_chat) forget(ch);
}

/* Nothing comes behind an error. */
static void end(struct completion *c)
{
    if (c->n_choices && finish_is_failure(c->choice[0].finish)) return;
    add_head(c, &c->out);
    add_said(c, NULL, &(struct said){ 0 }, &c->out);
    add_end(c, &c->out);
    strbuf_add_str(&c->out, "\n");
}

static void failure(struct completion *c, unsigned status, const char *code, const char *text)
{
    answer_error_text(&c->out, ERRORS_OLLAMA, status,
                      &(struct answer_error){ .code = code, .message = text });
    strbuf_add_str(&c->out, "\n");
}

/* ---- documents ------------------------------------------------------------------------------ */

static void write_document(struct completion *c, struct strbuf *to)
{
    struct choice *ch = c->n_choices ? c->choice : NULL;
    struct said said = { 0 };
    if (ch && c->request.is_chat)
        said = (struct said){ ch->reader.content.bytes, ch->reader.thoughts.bytes,
                              ch->reader.content.n, ch->reader.thoughts.n, 0 };
    else if (ch)
        said = (struct said){ .text = ch->text.bytes, .n_text = ch->text.n };
    add_head(c, to);
    add_said(c, ch ? &ch->reader : NULL, &said, to);
    if (ch) add_logprobs(ch, to);
    add_end(c, to);
}

/* ---- the family ----------------------------------------------------------------------------- */

static const struct dialect load_chat = {
    .id_prefix = "ollama-", .stream_type = LINES, .is_silent = true,
    .translate = ollama_translate_load, .end = end, .failure = failure, .document = write_document,
};
static const struct dialect load_generate = {
    .id_prefix = "ollama-", .stream_type = LINES, .is_silent = true,
    .translate = ollama_translate_load, .end = end, .failure = failure, .document = write_document,
};
static const struct dialect raw = {
    .id_prefix = "ollama-", .stream_type = LINES, .translate = ollama_translate_raw,
    .take_token = take_token, .event = line_event, .end = end, .failure = failure,
    .document = write_document,
};

static const struct dialect *choose_chat(const json_t *body)
{
    const json_t *messages = json_object_get(body, "messages");
    const bool is_none = !messages || json_is_null(messages) ||
                         (json_is_array(messages) && !json_array_size(messages));
    return is_none ? &load_chat : &dialect_ollama_chat;
}

static const struct dialect *choose_generate(const json_t *body)
{
    const json_t *prompt = json_object_get(body, "prompt");
    const bool is_none = !prompt || json_is_null(prompt) ||
                         (json_is_string(prompt) && !json_string_length(prompt));
    if (is_none) return &load_generate;
    return json_is_true(json_object_get(body, "raw")) ? &raw : &dialect_ollama_generate;
}

const struct dialect dialect_ollama_chat = {
    .id_prefix = "ollama-", .is_chat = true, .stream_type = LINES, .choose = choose_chat,
    .translate = ollama_translate_chat, .take_token = take_token, .event = line_event, .end = end,
    .failure = failure, .document = write_document,
};
const struct dialect dialect_ollama_generate = {
    .id_prefix = "ollama-", .is_chat = true, .stream_type = LINES, .choose = choose_generate,
    .translate = ollama_translate_generate, .take_token = take_token, .event = line_event,
    .end = end, .failure = failure, .document = write_document,
};
