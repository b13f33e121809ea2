/* Tools of a response: functions, which are flat there. */
#ifndef SERVER_DIALECTS_RESPONSES_TOOLS_H
#define SERVER_DIALECTS_RESPONSES_TOOLS_H

#include "server/request_fields.h"

/* Puts tools and tool_choice into `to` as chats have them, and into `echo` as the answer repeats
 * them, with parallel_tool_calls. Other kinds of tools are refused by name. Any thread. */
void responses_tools_read(struct fields *f, json_t *to, json_t *echo);

#endif
