#include "server/answer_error.h"

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

void answer_error_text(struct strbuf *to, enum error_shape shape, unsigned status,
                       const struct answer_error *e)
{
    switch (shape) {
    case ERRORS_OPENAI: openai_error(to, status, e); break;
    }
}
