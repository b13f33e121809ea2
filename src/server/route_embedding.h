/* POST /v1/embeddings, and /embedding as llama-server has it. */
#ifndef SERVER_ROUTE_EMBEDDING_H
#define SERVER_ROUTE_EMBEDDING_H

#include "server/routes.h"

route_fn route_embeddings, route_embedding;

#endif
