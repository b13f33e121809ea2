/* Responses that were stored, and how many tokens a prompt has. */
#ifndef SERVER_ROUTE_RESPONSES_H
#define SERVER_ROUTE_RESPONSES_H

#include "server/routes.h"

route_fn route_response, route_response_delete;     /* .../responses/ID, ID/input_items */
route_fn route_input_tokens;                        /* of a request of the route's dialect */

#endif
