/* What a request's streams produce on its way to the client: server-sent events, or one document.
 * libmicrohttpd's thread, but where it says otherwise. */
#ifndef SERVER_EVENTS_H
#define SERVER_EVENTS_H

#include "server/state.h"

/* The answer is what the streams say, as they say it. Any thread. */
enum MHD_Result events_stream(struct exchange *x);

/* Makes the document of streams that ended, or suspends. MHD_NO: the client left. */
enum MHD_Result events_document(struct exchange *x);

#endif
