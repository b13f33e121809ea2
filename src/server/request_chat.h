/* The members of a chat that its template sees: messages, tools, chat_template_kwargs and more. */
#ifndef SERVER_REQUEST_CHAT_H
#define SERVER_REQUEST_CHAT_H

#include "server/request_fields.h"

/* Fills f->r->chat and what concerns tools. kwargs: what the server's own are, or NULL. */
void request_read_chat(struct fields *f, const json_t *kwargs, const struct tool_form *form);

#endif
