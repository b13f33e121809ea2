#include "server/dialect.h"

#include "server/answer.h"

void dialect_fail_event(struct completion *c, unsigned status, const char *code, const char *text)
{
    strbuf_add_str(&c->out, "data: ");
    answer_error_text(&c->out, ERRORS_OPENAI, status,
                      &(struct answer_error){ .code = code, .message = text });
    strbuf_add_str(&c->out, "\n\n");
}

bool dialect_read(struct completion *c, const json_t *body, const struct request_defaults *defaults,
                  json_t **translated, enum MHD_Result *result)
{
    struct request_error error = { NULL, "out of memory" };
    if (c->dialect->choose) c->dialect = c->dialect->choose(body);
    const struct dialect *d = c->dialect;
    *translated = d->translate ? d->translate(c, body, &error)
                               : json_incref((json_t *)(uintptr_t)body);
    bool is_right =
        *translated && request_parse(&c->request, *translated, d->is_chat, defaults, &error);
    if (is_right && c->request.n_chats > 1 && !d->takes_several) {
        error = (struct request_error){ "messages", "messages are several conversations; one is "
                                        "wanted" };
        request_free(&c->request);
        is_right = false;
    }
    if (is_right) return true;
    *result = answer_fail(c->exchange, 400, dialect_param(c, error.param), "invalid_parameter",
                          "%s", error.text);
    return false;
}
