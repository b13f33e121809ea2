/* What other dialects tell in OpenAI's words. */
#ifndef SERVER_DIALECTS_OPENAI_H
#define SERVER_DIALECTS_OPENAI_H

#include "server/dialect.h"

/* Appends a token's {"token", "logprob", "bytes", "top_logprobs"}. */
void openai_logprobs_add(const struct completion *c, struct strbuf *to, const pl_event *e);

#endif
