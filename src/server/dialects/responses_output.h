/* A reply as items, one after the other: thoughts, messages and calls, each begun, told piece by
 * piece and ended. What ended is JSON in the response; of a stream, every step is an event, too.
 * libmicrohttpd's thread. */
#ifndef SERVER_DIALECTS_RESPONSES_OUTPUT_H
#define SERVER_DIALECTS_RESPONSES_OUTPUT_H

#include "server/completion.h"

/* Takes what the reader has found since the last event. */
void responses_output_take(struct completion *c, const pl_event *e);

#endif
