/* What tokens are drawn by, under the names of requests' members: of a request and of those that
 * say nothing. */
#ifndef SERVER_SAMPLER_LIST_H
#define SERVER_SAMPLER_LIST_H

#include <jansson.h>

#include "paceline.h"

json_t *sampler_list(const pl_sampling *s);

#endif
