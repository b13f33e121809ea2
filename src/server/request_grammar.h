/* What a request's reply is held to: response_format, and what other servers call it. */
#ifndef SERVER_REQUEST_GRAMMAR_H
#define SERVER_REQUEST_GRAMMAR_H

#include "server/request_fields.h"

/* Fills request.grammar; two that say different things are an error. */
void request_read_grammar(struct fields *f);

/* Whether a body may hold one: compiling it may take so long that no reply should wait for it. Or
 * whether it stands for a longer one, with what was said before. */
bool request_may_have_grammar(const char *body, size_t n);

#endif
