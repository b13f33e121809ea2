/* What Ollama's answers call things: the model and the time. */
#ifndef SERVER_DIALECTS_OLLAMA_NAMES_H
#define SERVER_DIALECTS_OLLAMA_NAMES_H

#include <stdint.h>

#include "base/strbuf.h"

struct server;

/* Appends "NAME:TAG". Its clients put ":latest" behind a name without a tag before they look it up
 * in the list of models. */
void ollama_name_add(struct strbuf *to, const struct server *s);

/* Appends a time as RFC 3339 has it. */
void ollama_time_add(struct strbuf *to, uint64_t time_s);

#endif
