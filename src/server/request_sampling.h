/* The members that say how tokens are chosen and what is told of the choice. */
#ifndef SERVER_REQUEST_SAMPLING_H
#define SERVER_REQUEST_SAMPLING_H

#include "server/request_fields.h"

void request_read_sampling(struct fields *f);   /* logit_bias and logprobs too */

#endif
