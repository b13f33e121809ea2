/* The messages of Ollama's /api/chat as OpenAI's. */
#ifndef SERVER_DIALECTS_OLLAMA_MESSAGES_H
#define SERVER_DIALECTS_OLLAMA_MESSAGES_H

#include "server/request_fields.h"

/* A new reference; f says what is wrong with them, but for what request_parse says in the same
 * words. */
json_t *ollama_messages_read(struct fields *f, const json_t *messages);

#endif
