/* Bodies of completion requests: any bytes give a request or a sentence about what is wrong. What
 * text goes back out is valid JSON. */
#include <stdlib.h>
#include <string.h>

#include "server/dialect.h"
#include "server/json_read.h"
#include "server/json_text.h"
#include "server/request.h"

static void parse(const json_t *body, bool is_chat)
{
    const struct request_defaults defaults = { .sampling = { .temperature = 1, .top_p = 1 } };
    struct request request;
    struct request_error error = { 0 };
    if (!request_parse(&request, body, is_chat, &defaults, &error)) {
        if (!error.param || !error.text[0]) abort();
        return;
    }
    if (is_chat != (request.n_chats > 0)) abort();
    if (request.n_stop > REQUEST_MAX_STOPS || request.n > REQUEST_MAX_REPLIES) abort();
    for (uint32_t i = 0; i < request.n_chats; i++) {
        json_t *chat = json_read(request.chat[i], strlen(request.chat[i]), NULL);
        if (!chat || !json_is_array(json_object_get(chat, "messages"))) abort();
        json_decref(chat);
    }
    request_free(&request);
}

/* What a dialect makes of a body is one of OpenAI's, right or wrong. */
static void translate(const json_t *body, const struct dialect *d)
{
    struct request_error error = { 0 };
    struct completion c = { 0 };
    if (d->choose) d = d->choose(body);
    json_t *to = d->translate(&c, body, &error);
    if (to) parse(to, d->is_chat);
    else if (!error.param || !error.text[0]) abort();
    json_decref(to);
}

static void write_back(const char *bytes, size_t n)
{
    struct strbuf text = { 0 };
    json_text_add(&text, bytes, n);
    json_t *string = json_loadb(text.bytes, text.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (!string) abort();
    json_decref(string);
    strbuf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    write_back((const char *)data, n);
    json_t *body = json_read((const char *)data, n, NULL);
    if (body && json_is_object(body)) {
        parse(body, true);
        parse(body, false);
        translate(body, &dialect_ollama_chat);
        translate(body, &dialect_ollama_generate);
        translate(body, &dialect_messages);
        translate(body, &dialect_native);
        translate(body, &dialect_infill);
    }
    json_decref(body);
    return 0;
}
