/* How a request is received, handed to its route and answered: what libmicrohttpd calls. It stands
 * on top of all the others; server.c alone includes it. */
#ifndef SERVER_EXCHANGE_H
#define SERVER_EXCHANGE_H

#include <microhttpd.h>

void *exchange_named(void *server, const char *target, struct MHD_Connection *connection);
MHD_AccessHandlerCallback exchange_handler(void);
MHD_RequestCompletedCallback exchange_completed_handler(void);

#endif
