/* How models write tool calls: one table of the syntaxes. A syntax is found in what the model's
 * own template makes of a call (tool_form.h); from it follow the grammar that calls are held to
 * (tool_grammar.h) and how they are read again (tool_parse.h). */
#ifndef SERVER_TOOL_SYNTAX_H
#define SERVER_TOOL_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>

enum tool_family {
    TOOL_OBJECT,                /* open {"name": N, "arguments": {...}} close */
    TOOL_ARRAY,                 /* open [{"name": N, "arguments": {...}}, ...] close */
    TOOL_NAMED,                 /* open N name_end {...} close */
    TOOL_CHANNELS,              /* as NAMED; thoughts, content and calls are channels of a reply */
    TOOL_TAGS,                  /* open N name_end, then each argument: key_open KEY key_end VALUE
                                 * value_end; then close */
};

/* Marks are texts; some are control tokens of the model. "" where there is none. Line breaks at
 * their ends are what the model writes; reading does not insist on them. */
struct tool_syntax {
    const char *name;
    const char *seen[2];        /* what the template's rendering of a call holds; NULL: nothing */
    enum tool_family family;
    const char *section, *section_end;  /* around all calls */
    const char *open, *close;
    const char *between;        /* two calls */
    const char *arguments;      /* OBJECT, ARRAY: the member's name */
    const char *name_end, *key_open, *key_end, *value_end;
    const char *trigger[3];     /* calls begin with one of these; NULL: with section and open */
    const char *bare[3];        /* at its beginning a reply may call without the mark, too */
    bool is_at_start;           /* calls are all of the reply or none of it */
    bool is_single;             /* one call a reply */
};

/* The syntax of a rendered call of the_tool; NULL: none of the table. */
const struct tool_syntax *tool_syntax_find(const char *rendered);

/* What is taught to models whose template knows no calls. */
const struct tool_syntax *tool_syntax_generic(void);

/* By its name, for tests; NULL: there is none. */
const struct tool_syntax *tool_syntax_named(const char *name);

/* The text with which calls begin. */
const char *tool_syntax_begin(const struct tool_syntax *s);

#endif
