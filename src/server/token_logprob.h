/* A token's log-probability and its alternatives, as OpenAI's chats tell them. */
#ifndef SERVER_TOKEN_LOGPROB_H
#define SERVER_TOKEN_LOGPROB_H

#include "base/strbuf.h"
#include "paceline.h"

/* Appends {"token", "logprob", "bytes", "top_logprobs"}; a comma before it where `to` holds one. */
void token_logprob_add(struct strbuf *to, const pl_engine *engine, const pl_event *e);

#endif
