/* What an error looks like: each family of routes has a shape of its own. */
#ifndef SERVER_ANSWER_ERROR_H
#define SERVER_ANSWER_ERROR_H

#include "base/strbuf.h"

enum error_shape {
    ERRORS_OPENAI,              /* {"error": {"message", "type", "param", "code"}} */
    ERRORS_ANTHROPIC,           /* {"type": "error", "error": {"type", "message"}} */
    ERRORS_OLLAMA,              /* {"error": message} */
};

struct answer_error {
    const char *type;           /* NULL: the status's usual one */
    const char *param, *code;   /* may be NULL */
    const char *message;
    const char *more;           /* further members, each after a comma; NULL: none */
};

/* Appends it as JSON. Any thread. */
void answer_error_text(struct strbuf *to, enum error_shape shape, unsigned status,
                       const struct answer_error *e);

#endif
