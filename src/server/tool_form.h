/* The tool calls of a loaded model: which syntax its template writes, and the syntax's marks as a
 * grammar has them. Made once, read-only afterwards. */
#ifndef SERVER_TOOL_FORM_H
#define SERVER_TOOL_FORM_H

#include "paceline.h"
#include "server/tool_syntax.h"

enum { TOOL_MARK_BYTES = 512 };

/* Marks in Lark: control tokens by number, all else quoted; "" for those that are empty. */
struct tool_form {
    const struct tool_syntax *syntax;
    bool is_taught;             /* a system message explains calls: the template knows none, or
                                 * writes them as no syntax of the table */
    bool renders_calls;         /* the template writes calls of a conversation, in whatever form */
    char section[TOOL_MARK_BYTES], section_end[TOOL_MARK_BYTES];
    char open[TOOL_MARK_BYTES], close[TOOL_MARK_BYTES], between[TOOL_MARK_BYTES];
    char name_end[TOOL_MARK_BYTES];
    char trigger[TOOL_MARK_BYTES];  /* of a reply that is free until calls begin; as text */
    char prefix[TOOL_MARK_BYTES];   /* a mark that may stand before calls, or not */
};

/* Renders a small conversation with a call. */
void tool_form_open(struct tool_form *out, const pl_engine *engine);

/* The same for a syntax that is known. */
void tool_form_fill(struct tool_form *out, const pl_engine *engine, const struct tool_syntax *s);

#endif
