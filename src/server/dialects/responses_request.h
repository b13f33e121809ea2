/* A body of /v1/responses in the members of OpenAI's chats. What the answer repeats of it, and the
 * conversation where it is to be stored, is kept as `own` of the completion. */
#ifndef SERVER_DIALECTS_RESPONSES_REQUEST_H
#define SERVER_DIALECTS_RESPONSES_REQUEST_H

#include "server/completion.h"

/* These are as dialect.h has them. */
json_t *responses_translate(struct completion *c, const json_t *body, struct request_error *error);
const char *responses_param_name(const struct completion *c, const char *param);

#endif
