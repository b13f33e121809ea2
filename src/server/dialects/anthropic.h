/* Anthropic's /v1/messages. */
#ifndef SERVER_DIALECTS_ANTHROPIC_H
#define SERVER_DIALECTS_ANTHROPIC_H

#include "server/dialect.h"

/* As struct dialect's translate. */
json_t *anthropic_translate(const json_t *body, struct request_error *error);

#endif
