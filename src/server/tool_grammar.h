/* The grammar of a reply that calls tools, in Lark. */
#ifndef SERVER_TOOL_GRAMMAR_H
#define SERVER_TOOL_GRAMMAR_H

#include <jansson.h>

#include "base/strbuf.h"
#include "server/tool_form.h"

struct tool_wish {
    const json_t *tools;        /* OpenAI's array */
    const char *only;           /* the one function that may be called; NULL: any */
    bool is_single;             /* one call */
    const char *or_schema;      /* instead of calls, a document of this schema; NULL: calls alone */
};

void tool_grammar_write(struct strbuf *to, const struct tool_form *form,
                        const struct tool_wish *wish);

#endif
