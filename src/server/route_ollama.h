/* What Ollama's clients ask of models: GET /api/tags, /api/ps, /api/version, POST /api/show. */
#ifndef SERVER_ROUTE_OLLAMA_H
#define SERVER_ROUTE_OLLAMA_H

#include "server/routes.h"

route_fn route_ollama_tags, route_ollama_ps, route_ollama_show, route_ollama_version;

#endif
