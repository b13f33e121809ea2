/* The documents of chat.completion, chat.completion.chunk and text_completion. */
#include "server/dialect.h"

#include <inttypes.h>
#include <string.h>

#include "server/call_id.h"
#include "server/json_text.h"
#include "server/logprobs.h"
#include "server/model_names.h"
#include "server/state.h"
#include "server/timings.h"

static const char *finish_name(const struct choice *ch, pl_finish finish)
{
    switch (finish) {
    case PL_FINISH_STOP: return ch->reader.n_calls ? "\"tool_calls\"" : "\"stop\"";
    case PL_FINISH_LENGTH: return "\"length\"";
    case PL_FINISH_NONE: return "null";
    case PL_FINISH_CANCELLED: return "\"cancelled\"";
    default: return "\"error\"";
    }
}

/* ---- tool calls ----------------------------------------------------------------------------- */

/* The calls from `first` on, as an array. With an index each: streaming. */
static void add_calls(const struct completion *c, uint32_t choice, uint32_t first,
                      bool has_index, struct strbuf *to)
{
    const struct reply_reader *r = &c->choice[choice].reader;
    strbuf_add_str(to, "\"tool_calls\":[");
    for (uint32_t i = first; i < r->n_calls; i++) {
        strbuf_add_str(to, i > first ? ",{" : "{");
        if (has_index) strbuf_addf(to, "\"index\":%u,", i);
        strbuf_add_str(to, "\"id\":\"");
        call_id_add(to, c->id, choice, i);
        strbuf_add_str(to, "\",\"type\":\"function\",\"function\":{\"name\":");
        json_text_add(to, r->call[i].name, strlen(r->call[i].name));
        strbuf_add_str(to, ",\"arguments\":");
        json_text_add(to, r->call[i].arguments, strlen(r->call[i].arguments));
        strbuf_add_str(to, "}}");
    }
    strbuf_add_str(to, "]");
}

/* ---- log-probabilities ---------------------------------------------------------------------- */

static void comma(struct strbuf *b)
{
    if (b->n) strbuf_add_str(b, ",");
}

/* An element of each array but the log-probabilities'. */
static void add_text_token(const struct completion *c, struct choice *ch, int32_t token)
{
    size_t n;
    const char *bytes = pl_token_bytes(c->engine, token, &n);
    comma(&ch->logprobs);
    json_text_add(&ch->logprobs, bytes, n);
    comma(&ch->text_offset);
    strbuf_addf(&ch->text_offset, "%zu", ch->n_characters);
    ch->n_characters += json_text_characters(bytes, n);
    comma(&ch->token_logprobs);
    comma(&ch->top_logprobs);
}

static void add_text_logprob(const struct completion *c, struct choice *ch, float logprob,
                             const pl_token_prob *top, uint32_t n_top)
{
    strbuf_addf(&ch->token_logprobs, "%.6f", (double)logprob);
    strbuf_add_str(&ch->top_logprobs, "{");
    for (uint32_t i = 0; i < n_top; i++) {
        size_t n;
        const char *bytes = pl_token_bytes(c->engine, top[i].token, &n);
        if (i) strbuf_add_str(&ch->top_logprobs, ",");
        json_text_add(&ch->top_logprobs, bytes, n);
        strbuf_addf(&ch->top_logprobs, ":%.6f", (double)top[i].logprob);
    }
    strbuf_add_str(&ch->top_logprobs, "}");
}

/* Of a prompt that is echoed, once it was computed: the first of its replies has been told. */
static void prompt_logprobs(const struct completion *c, uint32_t choice)
{
    struct choice *ch = &c->choice[choice];
    const struct choice *first = &c->choice[choice - choice % c->request.n];
    const struct prompt *p = &c->prompt[ch->prompt];
    ch->n_characters = 0;
    for (size_t i = 0; i < p->n_tokens; i++) {
        float logprob;
        const pl_token_prob *top = pl_stream_prompt_logprob(first->stream, i, &logprob);
        add_text_token(c, ch, p->tokens.ids[i]);
        if (i) {
            add_text_logprob(c, ch, logprob, top, c->request.n_top_logprobs);
            continue;
        }
        strbuf_add_str(&ch->token_logprobs, "null");
        strbuf_add_str(&ch->top_logprobs, "null");
    }
    ch->has_prompt_logprobs = true;
}

static void text_logprobs(const struct completion *c, uint32_t choice, const pl_event *e)
{
    struct choice *ch = &c->choice[choice];
    if (c->request.echo && !ch->has_prompt_logprobs && !finish_is_failure(e->finish))
        prompt_logprobs(c, choice);
    if (e->kind != PL_EVENT_TOKEN) return;
    add_text_token(c, ch, e->token);
    add_text_logprob(c, ch, e->logprob, e->top, e->n_top);
}

static void take_token(struct completion *c, uint32_t choice, const pl_event *e)
{
    struct choice *ch = &c->choice[choice];
    if (!c->request.logprobs) return;
    if (!c->request.is_chat) text_logprobs(c, choice, e);
    else if (e->kind == PL_EVENT_TOKEN) logprobs_add(&ch->logprobs, c->engine, e);
}

/* ,"logprobs":... and forgets what was written */
static void add_logprobs(const struct completion *c, struct choice *ch, struct strbuf *to)
{
    strbuf_add_str(to, ",\"logprobs\":");
    if (!c->request.logprobs || (!ch->logprobs.n && c->request.stream)) {
        strbuf_add_str(to, "null");
        return;
    }
    const char *tokens = ch->logprobs.n ? ch->logprobs.bytes : "";
    if (c->request.is_chat) {
        strbuf_addf(to, "{\"content\":[%s],\"refusal\":null}", tokens);
    } else {
        const bool has_any = ch->logprobs.n > 0;
        strbuf_addf(to, "{\"tokens\":[%s],\"token_logprobs\":[%s],\"top_logprobs\":[%s],"
                    "\"text_offset\":[%s]}", tokens, has_any ? ch->token_logprobs.bytes : "",
                    has_any ? ch->top_logprobs.bytes : "", has_any ? ch->text_offset.bytes : "");
    }
    strbuf_clear(&ch->logprobs);
    strbuf_clear(&ch->token_logprobs);
    strbuf_clear(&ch->top_logprobs);
    strbuf_clear(&ch->text_offset);
}

/* ---- documents ------------------------------------------------------------------------------ */

static void add_head(const struct completion *c, struct strbuf *to, const char *object)
{
    const char *model = model_names_first(c->exchange->server);
    strbuf_addf(to, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%" PRIu64 ",\"model\":", c->id,
                object, c->created_s);
    json_text_add(to, model, strlen(model));
    strbuf_add_str(to, ",\"system_fingerprint\":\"paceline-" PL_VERSION "\"");
}

static void open_chunk(struct completion *c)
{
    strbuf_add_str(&c->out, "data: ");
    add_head(c, &c->out, c->request.is_chat ? "chat.completion.chunk" : "text_completion");
}

static void close_chunk(struct completion *c)
{
    if (c->request.include_usage) strbuf_add_str(&c->out, ",\"usage\":null");
    strbuf_add_str(&c->out, "}\n\n");
}

static void chunk_echo(struct completion *c, uint32_t choice)
{
    const struct strbuf *echo = &c->prompt[c->choice[choice].prompt].echo;
    if (!echo->n) return;
    open_chunk(c);
    strbuf_addf(&c->out, ",\"choices\":[{\"index\":%u,\"text\":", choice);
    json_text_add(&c->out, echo->bytes, echo->n);
    strbuf_add_str(&c->out, ",\"logprobs\":null,\"finish_reason\":null}]");
    close_chunk(c);
}

static void chunk_role(struct completion *c, uint32_t choice)
{
    open_chunk(c);
    strbuf_addf(&c->out, ",\"choices\":[{\"index\":%u,\"delta\":{\"role\":\"assistant\","
                "\"content\":null},\"logprobs\":null,\"finish_reason\":null}]", choice);
    close_chunk(c);
}

/* What the reader has found since the last chunk. */
static void add_delta(struct completion *c, uint32_t choice, bool is_end)
{
    struct choice *ch = &c->choice[choice];
    struct reply_reader *r = &ch->reader;
    const bool has_calls = ch->n_calls_told < r->n_calls;
    strbuf_add_str(&c->out, "\"delta\":{");
    if (r->thoughts.n) {
        strbuf_add_str(&c->out, "\"reasoning_content\":");
        json_text_add(&c->out, r->thoughts.bytes, r->thoughts.n);
    }
    if (r->content.n || !(is_end || has_calls || r->thoughts.n)) {
        strbuf_addf(&c->out, "%s\"content\":", r->thoughts.n ? "," : "");
        json_text_add(&c->out, r->content.bytes, r->content.n);
    }
    if (has_calls) {
        if (r->thoughts.n || r->content.n) strbuf_add_str(&c->out, ",");
        add_calls(c, choice, ch->n_calls_told, true, &c->out);
    }
    strbuf_add_str(&c->out, "}");
    ch->n_calls_told = r->n_calls;
    strbuf_clear(&r->content);
    strbuf_clear(&r->thoughts);
}

/* ,"timings":{...}, as llama-server has it */
static void add_timings(const struct choice *ch, struct strbuf *to)
{
    strbuf_add_str(to, ",\"timings\":");
    timings_add(to, &ch->usage);
}

static void add_verbose(const struct completion *c, struct strbuf *to)
{
    const struct strbuf *prompt = &c->prompt[0].echo;
    strbuf_add_str(to, ",\"__verbose\":{\"prompt\":");
    json_text_add(to, prompt->n ? prompt->bytes : "", prompt->n);
    strbuf_add_str(to, "}");
}

static bool has_news(const struct completion *c, const struct choice *ch, const pl_event *e)
{
    const struct reply_reader *r = &ch->reader;
    return c->request.is_chat ? r->content.n || r->thoughts.n || ch->n_calls_told < r->n_calls
                              : e->n_text_bytes > 0;
}

static void chunk_event(struct completion *c, uint32_t choice, const pl_event *e)
{
    struct choice *ch = &c->choice[choice];
    const bool is_end = e->kind == PL_EVENT_END;
    if (!has_news(c, ch, e) && !ch->logprobs.n && !is_end) return;  /* all is held back */
    open_chunk(c);
    strbuf_addf(&c->out, ",\"choices\":[{\"index\":%u,", choice);
    if (c->request.is_chat) {
        add_delta(c, choice, is_end);
    } else {
        strbuf_add_str(&c->out, "\"text\":");
        json_text_add(&c->out, e->text, e->n_text_bytes);
    }
    add_logprobs(c, ch, &c->out);
    strbuf_addf(&c->out, ",\"finish_reason\":%s}]", is_end ? finish_name(ch, e->finish) : "null");
    if (is_end) add_timings(ch, &c->out);
    close_chunk(c);
}

/* ,"usage":{...}: prompts count once however many replies they get */
static void add_usage(const struct completion *c, struct strbuf *to)
{
    const struct completion_sums sums = completion_sums(c);
    strbuf_addf(to, ",\"usage\":{\"prompt_tokens\":%" PRIu64 ",\"completion_tokens\":%" PRIu64
                ",\"total_tokens\":%" PRIu64 ",\"prompt_tokens_details\":{\"cached_tokens\":%"
                PRIu64 "}}", sums.n_prompt, sums.n_reply, sums.n_prompt + sums.n_reply,
                sums.n_cached);
}

static void chunk_usage(struct completion *c)
{
    open_chunk(c);
    strbuf_add_str(&c->out, ",\"choices\":[]");
    add_usage(c, &c->out);
    strbuf_add_str(&c->out, "}\n\n");
}

static void end(struct completion *c)
{
    if (c->request.include_usage) chunk_usage(c);
    strbuf_add_str(&c->out, "data: [DONE]\n\n");
}

/* Content is null where the reply consists of calls. */
static void add_message(const struct completion *c, uint32_t choice, struct strbuf *to)
{
    const struct reply_reader *r = &c->choice[choice].reader;
    strbuf_add_str(to, "\"message\":{\"role\":\"assistant\",\"content\":");
    if (r->n_calls && !r->has_told) strbuf_add_str(to, "null");
    else json_text_add(to, r->content.bytes, r->content.n);
    if (r->thoughts.n) {
        strbuf_add_str(to, ",\"reasoning_content\":");
        json_text_add(to, r->thoughts.bytes, r->thoughts.n);
    }
    if (r->n_calls) {
        strbuf_add_str(to, ",");
        add_calls(c, choice, 0, false, to);
    }
    strbuf_add_str(to, ",\"refusal\":null}");
}

static void write_document(struct completion *c, struct strbuf *to)
{
    add_head(c, to, c->request.is_chat ? "chat.completion" : "text_completion");
    strbuf_add_str(to, ",\"choices\":[");
    for (uint32_t i = 0; i < c->n_choices; i++) {
        struct choice *ch = &c->choice[i];
        strbuf_addf(to, "%s{\"index\":%u,", i ? "," : "", i);
        if (c->request.is_chat) {
            add_message(c, i, to);
        } else {
            struct strbuf text = { 0 };
            const struct strbuf *echo = &c->prompt[ch->prompt].echo;
            strbuf_add(&text, echo->bytes, echo->n);
            strbuf_add(&text, ch->text.bytes, ch->text.n);
            strbuf_add_str(to, "\"text\":");
            json_text_add(to, text.bytes, text.n);
            strbuf_free(&text);
        }
        add_logprobs(c, ch, to);
        strbuf_addf(to, ",\"finish_reason\":%s}", finish_name(ch, ch->finish));
    }
    strbuf_add_str(to, "]");
    add_usage(c, to);
    add_timings(&c->choice[0], to);
    if (c->request.is_chat && c->exchange->server->is_verbose) add_verbose(c, to);
    strbuf_add_str(to, "}");
}

/* What llama-server started with -v adds: here the prompt, as the template made it. */
static void keep(struct completion *c, const json_t *body)
{
    pl_text text = { 0 };
    struct strbuf *prompt = &c->prompt[0].echo;
    const pl_tokens *tokens = &c->prompt[0].tokens;
    (void)body;
    if (!c->exchange->server->is_verbose) return;
    if (!pl_detokenize(c->engine, tokens->ids, tokens->n, true, &text, NULL))
        strbuf_add(prompt, text.bytes, text.n);
    pl_text_free(&text);
}

const struct dialect dialect_chat = {
    .id_prefix = "chatcmpl-", .is_chat = true, .takes_several = true, .stream_type = EVENT_STREAM,
    .ping = EVENT_COMMENT,
    .keep = keep, .start = chunk_role, .take_token = take_token, .event = chunk_event, .end = end,
    .failure = dialect_fail_event, .document = write_document,
};
const struct dialect dialect_text = {
    .id_prefix = "cmpl-", .stream_type = EVENT_STREAM, .ping = EVENT_COMMENT,
    .start = chunk_echo, .take_token = take_token, .event = chunk_event, .end = end,
    .failure = dialect_fail_event, .document = write_document,
};
