/* The members of samplers that only llama-server's clients know: DRY, XTC, mirostat, top-n-sigma, a
 * temperature that moves, and the order of all. */
#ifndef SERVER_REQUEST_SAMPLERS_H
#define SERVER_REQUEST_SAMPLERS_H

#include "server/request_fields.h"

void request_read_samplers(struct fields *f);

#endif
