/* A body of /v1/responses in the members of OpenAI's chats. What the answer repeats of it, and the
 * conversation where it is to be stored, is kept as `own` of the completion. */
#ifndef SERVER_DIALECTS_RESPONSES_REQUEST_H
#define SERVER_DIALECTS_RESPONSES_REQUEST_H

#include "server/dialect.h"

/* These are as dialect.h has them. */
translate_fn responses_translate;
const char *responses_param_name(const struct completion *c, const char *param);

#endif
