/* GET /, /health, /v1/models, /v1/models/NAME, /props, /slots. */
#ifndef SERVER_ROUTE_INFO_H
#define SERVER_ROUTE_INFO_H

#include "server/routes.h"

route_fn route_root, route_health, route_models, route_model, route_props, route_slots;

#endif
