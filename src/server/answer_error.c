#include "server/answer_error.h"

#include <stdbool.h>
#include <string.h>

#include "server/json_text.h"

static const char *openai_type(unsigned status)
{
    switch (status) {
    case 401: return "authentication_error";
    case 404: return "not_found_error";
    case 429: return "rate_limit_error";
    case 501: return "not_supported_error";
    case 503: return "unavailable_error";
    default: return status < 500 ? "invalid_request_error" : "server_error";
    }
}

static void add_string(struct strbuf *to, const char *text)
{
    if (text) json_text_add(to, text, strlen(text));
    else strbuf_add_str(to, "null");
}

static void openai_error(struct strbuf *to, unsigned status, const struct answer_error *e)
{
    strbuf_add_str(to, "{\"error\":{\"message\":");
    add_string(to, e->message);
    strbuf_add_str(to, ",\"type\":");
    add_string(to, e->type ? e->type : openai_type(status));
    strbuf_add_str(to, ",\"param\":");
    add_string(to, e->param);
    strbuf_add_str(to, ",\"code\":");
    add_string(to, e->code);
    strbuf_addf(to, "%s}}", e->more ? e->more : "");
}

static const char *anthropic_type(unsigned status)
{
    switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 413: return "request_too_large";
    case 429: return "rate_limit_error";
    case 503: return "overloaded_error";
    default: return status < 500 ? "invalid_request_error" : "api_error";
    }
}

/* What is too long says so in words that its clients look for. */
static void anthropic_error(struct strbuf *to, unsigned status, const struct answer_error *e)
{
    const bool is_too_long = e->code && !strcmp(e->code, "context_length_exceeded");
    struct strbuf message = { 0 };
    strbuf_addf(&message, "%s%s", is_too_long ? "prompt is too long: " : "", e->message);
    strbuf_add_str(to, "{\"type\":\"error\",\"error\":{\"type\":");
    add_string(to, anthropic_type(status));
    strbuf_add_str(to, ",\"message\":");
    add_string(to, message.failed ? e->message : message.bytes);
    strbuf_add_str(to, "}}");
    strbuf_free(&message);
}

static void ollama_error(struct strbuf *to, const struct answer_error *e)
{
    strbuf_add_str(to, "{\"error\":");
    add_string(to, e->message);
    strbuf_addf(to, "%s}", e->more ? e->more : "");
}

void answer_error_text(struct strbuf *to, enum error_shape shape, unsigned status,
                       const struct answer_error *e)
{
    switch (shape) {
    case ERRORS_OPENAI: openai_error(to, status, e); break;
    case ERRORS_ANTHROPIC: anthropic_error(to, status, e); break;
    case ERRORS_OLLAMA: ollama_error(to, e); break;
    }
}
