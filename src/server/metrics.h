/* GET /metrics: Prometheus text. */
#ifndef SERVER_METRICS_H
#define SERVER_METRICS_H

#include "server/routes.h"

route_fn route_metrics;

#endif
