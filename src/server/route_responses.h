/* Responses that were stored. */
#ifndef SERVER_ROUTE_RESPONSES_H
#define SERVER_ROUTE_RESPONSES_H

#include "server/routes.h"

route_fn route_response, route_response_delete;     /* .../responses/ID, ID/input_items */

#endif
