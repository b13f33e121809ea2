/* Heads of requests that must not be served: RFC 9112 and 9110 say which. What one server takes for
 * the end of a request another may take for its middle; such heads are refused, and the connection
 * closed, so that nobody's request hides in another's. */
#ifndef SERVER_HEAD_H
#define SERVER_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "server/state.h"

enum { HEAD_MAX_BYTES = 32 << 10 };

struct head {
    uint64_t n_body_bytes;      /* Content-Length; 0: none */
    bool has_length;
};

struct head_problem {
    unsigned status;            /* 0: none */
    const char *code, *text;    /* static */
};

/* Reads a whole head. libmicrohttpd's thread, first call of a request. */
struct head_problem head_read(struct MHD_Connection *connection, const char *version,
                              struct head *out);

/* The same of the Content-Length alone, as far as headers came: libmicrohttpd's thread. */
struct head_problem head_read_length(struct MHD_Connection *connection, struct head *out);

/* A request's id, from the client's x-request-id if that is one. */
void head_request_id(struct exchange *x);

#endif
