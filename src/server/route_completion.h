/* POST /v1/chat/completions and /v1/completions. */
#ifndef SERVER_ROUTE_COMPLETION_H
#define SERVER_ROUTE_COMPLETION_H

#include "server/routes.h"

route_fn route_chat, route_completions;

#endif
