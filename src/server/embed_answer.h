/* Vectors on their way to the client. libmicrohttpd's thread. */
#ifndef SERVER_EMBED_ANSWER_H
#define SERVER_EMBED_ANSWER_H

#include "server/state.h"

/* Makes the answer of texts that all have their vectors, or suspends. MHD_NO: the client left. */
enum MHD_Result embed_answer(struct exchange *x);

#endif
