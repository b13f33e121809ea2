/* GET /openapi.json. */
#ifndef SERVER_ROUTE_OPENAPI_H
#define SERVER_ROUTE_OPENAPI_H

#include "server/routes.h"

route_fn route_openapi;

#endif
