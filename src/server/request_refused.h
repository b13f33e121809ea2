/* Members of OpenAI's, llama-server's, vLLM's and other servers' interfaces that would change the
 * reply and that this version does not have. They are refused by name, never ignored: whoever asks
 * for a reply that keeps to a schema must not get one that does not. A value that changes nothing
 * is taken, because clients send all their settings with every request.
 *
 * What only tunes another member (the curve of a smoothing, say) is not here: it does nothing by
 * itself. docs/api.md lists this table. */
#ifndef SERVER_REQUEST_REFUSED_H
#define SERVER_REQUEST_REFUSED_H

#include "server/request_fields.h"

void request_refuse_unsupported(struct fields *f);

#endif
