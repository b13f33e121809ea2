/* The members that say where a reply ends: stop, stop_token_ids, min_tokens, and how
 * long it may think. */
#ifndef SERVER_REQUEST_ENDING_H
#define SERVER_REQUEST_ENDING_H

#include "server/request_fields.h"

/* Wants max_tokens to be known. */
void request_read_ending(struct fields *f);

#endif
