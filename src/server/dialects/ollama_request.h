/* Bodies of Ollama's /api/chat and /api/generate in OpenAI's members: `translate` of its dialects.
 * Errors name the client's own member. */
#ifndef SERVER_DIALECTS_OLLAMA_REQUEST_H
#define SERVER_DIALECTS_OLLAMA_REQUEST_H

#include "server/request.h"

json_t *ollama_translate_chat(const json_t *body, struct request_error *error);
json_t *ollama_translate_generate(const json_t *body, struct request_error *error);

/* /api/generate with `raw`: the prompt as it stands. */
json_t *ollama_translate_raw(const json_t *body, struct request_error *error);

/* Either where nothing is to be said: an empty prompt, which as a body of completions is right. */
json_t *ollama_translate_load(const json_t *body, struct request_error *error);

#endif
