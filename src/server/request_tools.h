/* The members tools, tool_choice and parallel_tool_calls. */
#ifndef SERVER_REQUEST_TOOLS_H
#define SERVER_REQUEST_TOOLS_H

#include "server/request_fields.h"

/* Reads and checks them, and makes the request's grammar of them; after request_read_grammar. */
void request_read_tools(struct fields *f, const struct tool_form *form);

/* Puts into a conversation (the template's variables) what the template itself does not tell: what
 * tools there are, and how calls and their results were written. Only where it is taught. */
void request_teach_tools(json_t *chat);

#endif
