/* A request's body, from its first piece to the JSON object in it. All bodies together have a
 * bound, and what is refused is dropped as it comes. libmicrohttpd's thread; body_object: any. */
#ifndef SERVER_BODY_H
#define SERVER_BODY_H

#include "server/state.h"

/* What is refused is read and dropped, within a bound, so that the client sees the answer. */
enum MHD_Result body_take(struct exchange *x, const char *bytes, size_t n);
void body_free(struct exchange *x);

/* NULL: it is none and the answer says so (*result). Frees the bytes. */
json_t *body_object(struct exchange *x, enum MHD_Result *result);

#endif
