/* POST /v1/chat/completions/ID/cancel: ends one of several replies that share a connection. */
#ifndef SERVER_ROUTE_CANCEL_H
#define SERVER_ROUTE_CANCEL_H

#include "server/routes.h"

route_fn route_cancel;

#endif
