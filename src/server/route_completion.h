/* The routes that make text: each has its dialect. */
#ifndef SERVER_ROUTE_COMPLETION_H
#define SERVER_ROUTE_COMPLETION_H

#include "server/routes.h"

route_fn route_completion;

#endif
