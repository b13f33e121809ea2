/* OpenAI's responses: the events and the document of a reply, and what is kept of both. */
#include "server/dialects/responses.h"

#include "server/dialect.h"
#include "server/dialects/responses_document.h"
#include "server/dialects/responses_events.h"
#include "server/dialects/responses_output.h"
#include "server/dialects/responses_request.h"
#include "server/logprobs.h"
#include "server/state.h"

static void tell_response(struct completion *c, const char *type, enum response_status status,
                          const char *why)
{
    struct strbuf *to = responses_event_open(c, type);
    if (!to) return;
    strbuf_add_str(to, ",\"response\":");
    response_document_add(c, status, why, to);
    responses_event_close(to);
}

static void start(struct completion *c, uint32_t choice)
{
    (void)choice;
    tell_response(c, "response.created", RESPONSE_IN_PROGRESS, NULL);
    tell_response(c, "response.in_progress", RESPONSE_IN_PROGRESS, NULL);
}

static void take_token(struct completion *c, uint32_t choice, const pl_event *e)
{
    if (c->request.logprobs && e->kind == PL_EVENT_TOKEN)
        logprobs_add(&c->choice[choice].logprobs, c->engine, e);
}

static void event(struct completion *c, uint32_t choice, const pl_event *e)
{
    (void)choice;
    responses_output_take(c, e);
}

static void failure(struct completion *c, unsigned status, const char *code, const char *text)
{
    (void)status, (void)code;
    ((struct response *)c->own)->has_failed = true;
    tell_response(c, "response.failed", RESPONSE_FAILED, text);
}

/* A copy of the document, and the conversation itself. */
static void store(struct completion *c, const char *document, size_t n)
{
    struct response *r = c->own;
    if (!r->is_stored) return;
    struct response_record record = { .key_number = c->exchange->key_number, .id = c->id,
                                      .items = r->items, .n_input = r->n_input };
    strbuf_add(&record.document, document, n);
    r->items = (struct item_list){ 0 };
    response_store_put(&c->exchange->server->responses, &record);
}

/* Before it is told, so that who has read it can go on from it. */
static void write_document(struct completion *c, struct strbuf *to)
{
    const struct response *r = c->own;
    response_document_add(c, response_status_of(c), NULL, to);
    if (r->output.failed || r->text.failed || r->logprobs.failed) to->failed = true;
    if (!to->failed) store(c, to->bytes, to->n);
}

static void end(struct completion *c)
{
    const struct response *r = c->own;
    struct strbuf document = { 0 };
    if (r->has_failed) return;
    write_document(c, &document);
    struct strbuf *to = responses_event_open(c, response_status_of(c) == RESPONSE_COMPLETED
                                                    ? "response.completed"
                                                    : "response.incomplete");
    strbuf_add_str(to, ",\"response\":");
    strbuf_add(to, document.bytes, document.n);
    if (document.failed) to->failed = true;
    responses_event_close(to);
    strbuf_free(&document);
}

const struct dialect dialect_responses = {
    .id_prefix = RESPONSE_ID_PREFIX, .is_chat = true, .stream_type = EVENT_STREAM,
    .ping = EVENT_COMMENT, .translate = responses_translate, .param_name = responses_param_name,
    .start = start, .take_token = take_token, .event = event, .has_all_events = true, .end = end,
    .failure = failure, .document = write_document,
};
