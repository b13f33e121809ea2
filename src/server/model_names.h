/* What the one model is called. Names are cleaned when the server opens: all of them are UTF-8. */
#ifndef SERVER_MODEL_NAMES_H
#define SERVER_MODEL_NAMES_H

#include <stdbool.h>

struct server;

/* Whether this is one of its names. NULL and "" are, and any with Ollama's ":latest" behind it. */
bool model_names_have(const struct server *s, const char *name);

/* The one that answers tell. */
const char *model_names_first(const struct server *s);

#endif
