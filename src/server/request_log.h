/* With --verbose, a line about every request: who flooded, and why a client saw an error, is asked
 * afterwards. Keys are told by their number, never by what they are. */
#ifndef SERVER_REQUEST_LOG_H
#define SERVER_REQUEST_LOG_H

#include "server/state.h"

/* About a request that ended; `code` is libmicrohttpd's word on how, is_gone the watcher's. */
void request_log(const struct exchange *x, enum MHD_RequestTerminationCode code, bool is_gone);

#endif
