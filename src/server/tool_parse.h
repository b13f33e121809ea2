/* One tool call out of a reply's text. */
#ifndef SERVER_TOOL_PARSE_H
#define SERVER_TOOL_PARSE_H

#include <jansson.h>

#include "server/tool_syntax.h"

struct tool_call {
    char *name;
    char *arguments;            /* a JSON object as text */
};

void tool_call_free(struct tool_call *call);

enum tool_found {
    TOOL_FOUND,                 /* *call, and *n_read bytes of the text are it */
    TOOL_UNFINISHED,            /* more of the text is wanted */
    TOOL_NONE,                  /* it is no call */
};

/* text: from where a call begins (section, open or between, as it stands). is_end: no more comes,
 * and a mark that is missing at the end is not missed. tools: the request's array, for the types
 * of arguments that are written as plain text, and because JSON without a mark is a call only where
 * it names one of them; NULL: types are guessed, and any name is one. */
enum tool_found tool_parse(const struct tool_syntax *s, const json_t *tools, const char *text,
                           size_t n, bool is_end, struct tool_call *call, size_t *n_read);

#endif
