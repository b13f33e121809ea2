#include "server/dialects/native.h"

#include <stdlib.h>
#include <string.h>

#include "server/json_text.h"
#include "server/logprobs.h"
#include "server/model_names.h"
#include "server/state.h"
#include "server/timings.h"

/* ---- tokens --------------------------------------------------------------------------------- */

static void take_token(struct completion *c, uint32_t choice, const pl_event *e)
{
    struct choice *ch = &c->choice[choice];
    if (e->n_text_bytes && memchr(e->text, '\n', e->n_text_bytes)) ch->has_new_line = true;
    if (e->kind != PL_EVENT_TOKEN) return;
    strbuf_addf(&ch->token_ids, "%s%d", ch->token_ids.n ? "," : "", e->token);
    if (!c->request.logprobs) return;
    logprobs_add(&ch->logprobs, c->engine, e);
}

static void add_list(struct strbuf *to, const char *name, const struct strbuf *elements)
{
    strbuf_addf(to, ",\"%s\":[%s]", name, elements->n ? elements->bytes : "");
}

/* ---- the end of a reply --------------------------------------------------------------------- */

static const char *stop_type(const struct completion *c, const struct choice *ch)
{
    if (ch->finish == PL_FINISH_LENGTH) return "limit";
    return completion_stop_string(c, ch) ? "word" : "eos";
}

/* Ended by the context's end, not by what was asked for. */
static bool is_truncated(const struct completion *c, const struct choice *ch)
{
    const uint32_t max = c->request.max_tokens;
    return ch->finish == PL_FINISH_LENGTH && !c->request.no_reply &&
           (!max || ch->usage.n_reply < max);
}

static void add_kept(const json_t *v, struct strbuf *to)
{
    char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    strbuf_add_str(to, text ? text : "null");
    to->failed = to->failed || !text;
    free(text);
}

/* What stands behind a reply's text, each member after a comma. */
static void add_end(const struct completion *c, const struct choice *ch, struct strbuf *to)
{
    const char *model = model_names_first(c->exchange->server);
    const char *string = completion_stop_string(c, ch);
    const pl_usage *u = &ch->usage;
    strbuf_addf(to, ",\"stop\":true,\"id_slot\":-1,\"tokens_predicted\":%u,\"tokens_evaluated\":%u,"
                "\"tokens_cached\":%u,\"truncated\":%s,\"has_new_line\":%s,\"stop_type\":\"%s\"",
                u->n_reply, u->n_prompt, u->n_prompt + u->n_reply,
                is_truncated(c, ch) ? "true" : "false", ch->has_new_line ? "true" : "false",
                stop_type(c, ch));
    strbuf_add_str(to, ",\"stopping_word\":");
    json_text_add(to, string ? string : "", string ? strlen(string) : 0);
    strbuf_add_str(to, ",\"model\":");
    json_text_add(to, model, strlen(model));
    strbuf_add_str(to, ",\"prompt\":");
    add_kept(json_array_get(json_object_get(c->own, "prompts"), ch->prompt), to);
    strbuf_add_str(to, ",\"generation_settings\":");
    add_kept(json_object_get(c->own, "settings"), to);
    strbuf_add_str(to, ",\"timings\":");
    timings_add(to, u);
}

/* ---- one document --------------------------------------------------------------------------- */

/* Of {"a": {"b": 1}} and "a/b": {"a/b": 1}. */
static void add_field(json_t *to, const json_t *document, const char *path)
{
    json_t *v = (json_t *)(uintptr_t)document;
    const char *at = path;
    for (size_t n = strcspn(at, "/"); v; n = strcspn(at, "/")) {
        v = json_object_getn(v, at, n);
        if (!at[n]) break;
        at += n + 1;
    }
    if (v) json_object_set(to, path, v);
}

/* Leaves only what was asked for. */
static void select_fields(const struct completion *c, struct strbuf *reply)
{
    const json_t *fields = json_object_get(c->own, "fields"), *field;
    size_t i;
    if (!fields || reply->failed) return;
    json_t *document = json_loadb(reply->bytes, reply->n, JSON_ALLOW_NUL, NULL);
    json_t *selected = json_object();
    json_array_foreach((json_t *)(uintptr_t)fields, i, field)
        add_field(selected, document, json_string_value(field));
    strbuf_clear(reply);
    add_kept(selected, reply);
    json_decref(selected);
    json_decref(document);
}

static void write_reply(const struct completion *c, uint32_t choice, struct strbuf *to)
{
    const struct choice *ch = &c->choice[choice];
    struct strbuf reply = { 0 };
    strbuf_addf(&reply, "{\"index\":%u,\"content\":", choice);
    json_text_add(&reply, ch->text.n ? ch->text.bytes : "", ch->text.n);
    if (json_is_true(json_object_get(c->own, "has_tokens")))
        add_list(&reply, "tokens", &ch->token_ids);
    else strbuf_add_str(&reply, ",\"tokens\":[]");
    if (c->request.logprobs) add_list(&reply, "completion_probabilities", &ch->logprobs);
    add_end(c, ch, &reply);
    strbuf_add_str(&reply, "}");
    select_fields(c, &reply);
    strbuf_add(to, reply.bytes, reply.n);
    to->failed = to->failed || reply.failed;
    strbuf_free(&reply);
}

/* One reply is an object, several are an array. */
static void write_document(struct completion *c, struct strbuf *to)
{
    if (c->n_choices > 1) strbuf_add_str(to, "[");
    for (uint32_t i = 0; i < c->n_choices; i++) {
        if (i) strbuf_add_str(to, ",");
        write_reply(c, i, to);
    }
    if (c->n_choices > 1) strbuf_add_str(to, "]");
}

/* ---- a stream ------------------------------------------------------------------------------- */

static void tell_piece(struct completion *c, uint32_t choice, const pl_event *e)
{
    struct choice *ch = &c->choice[choice];
    strbuf_addf(&c->out, "data: {\"index\":%u,\"content\":", choice);
    json_text_add(&c->out, e->n_text_bytes ? e->text : "", e->n_text_bytes);
    add_list(&c->out, "tokens", &ch->token_ids);
    if (c->request.logprobs && ch->logprobs.n)
        add_list(&c->out, "completion_probabilities", &ch->logprobs);
    strbuf_addf(&c->out, ",\"stop\":false,\"id_slot\":-1,\"tokens_predicted\":%u,"
                "\"tokens_evaluated\":%zu}\n\n", ch->n_tokens, c->prompt[ch->prompt].n_tokens);
    strbuf_clear(&ch->token_ids);
    strbuf_clear(&ch->logprobs);
}

/* The last piece has no text of its own: clients do not look for any there. */
static void tell_event(struct completion *c, uint32_t choice, const pl_event *e)
{
    const struct choice *ch = &c->choice[choice];
    struct strbuf reply = { 0 };
    if (e->kind != PL_EVENT_END || e->n_text_bytes) tell_piece(c, choice, e);
    if (e->kind != PL_EVENT_END) return;
    strbuf_addf(&reply, "{\"index\":%u,\"content\":\"\",\"tokens\":[]", choice);
    add_end(c, ch, &reply);
    strbuf_add_str(&reply, "}");
    select_fields(c, &reply);
    strbuf_add_str(&c->out, "data: ");
    strbuf_add(&c->out, reply.bytes, reply.n);
    strbuf_add_str(&c->out, "\n\n");
    c->out.failed = c->out.failed || reply.failed;
    strbuf_free(&reply);
}

/* After the last reply nothing follows. */
static void end(struct completion *c)
{
    (void)c;
}

const struct dialect dialect_native = {
    .id_prefix = "cmpl-", .stream_type = EVENT_STREAM, .ping = EVENT_COMMENT,
    .translate = native_translate, .keep = native_keep, .take_token = take_token,
    .event = tell_event, .end = end, .failure = dialect_fail_event, .document = write_document,
};

const struct dialect dialect_infill = {
    .id_prefix = "cmpl-", .stream_type = EVENT_STREAM, .ping = EVENT_COMMENT,
    .translate = native_translate_infill, .keep = native_keep, .take_token = take_token,
    .event = tell_event, .end = end, .failure = dialect_fail_event, .document = write_document,
};
