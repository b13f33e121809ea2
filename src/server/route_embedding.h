/* POST /v1/embeddings, and the same as llama-server (/embedding) and Ollama (/api/embed,
 * /api/embeddings) have it. */
#ifndef SERVER_ROUTE_EMBEDDING_H
#define SERVER_ROUTE_EMBEDDING_H

#include "server/routes.h"

route_fn route_embeddings, route_embedding, route_ollama_embed, route_ollama_embeddings;

#endif
