/* Bodies of Ollama's /api/chat and /api/generate in OpenAI's members: `translate` of its dialects.
 * Errors name the client's own member. */
#ifndef SERVER_DIALECTS_OLLAMA_REQUEST_H
#define SERVER_DIALECTS_OLLAMA_REQUEST_H

#include "server/dialect.h"

translate_fn ollama_translate_chat, ollama_translate_generate;

/* /api/generate with `raw`: the prompt as it stands. */
translate_fn ollama_translate_raw;

/* Either where nothing is to be said: an empty prompt, which as a body of completions is right. */
translate_fn ollama_translate_load;

#endif
