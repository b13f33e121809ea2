/* The log-probability of a token and of its alternatives, as JSON. */
#ifndef SERVER_LOGPROBS_H
#define SERVER_LOGPROBS_H

#include "base/strbuf.h"
#include "paceline.h"

/* Appends {"id", "token", "bytes", "logprob", "top_logprobs": [...]}, the form of chats and of
 * llama-server; a comma before it where `to` holds one. Any thread. */
void logprobs_add(struct strbuf *to, const pl_engine *engine, const pl_event *e);

#endif
