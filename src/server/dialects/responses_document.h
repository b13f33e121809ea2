/* The response object: of a finished reply, and as a stream's events hold it. */
#ifndef SERVER_DIALECTS_RESPONSES_DOCUMENT_H
#define SERVER_DIALECTS_RESPONSES_DOCUMENT_H

#include "server/completion.h"

enum response_status { RESPONSE_IN_PROGRESS, RESPONSE_COMPLETED, RESPONSE_INCOMPLETE,
                       RESPONSE_FAILED };

const char *response_status_name(enum response_status status);

/* Of a reply that ended. */
enum response_status response_status_of(const struct completion *c);

/* Appends it; `why`: of a failed one, else NULL. */
void response_document_add(const struct completion *c, enum response_status status,
                           const char *why, struct strbuf *to);

#endif
