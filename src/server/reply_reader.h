/* What a reply's text is made of: thoughts, content and tool calls, told apart as it comes.
 *
 *   START --<think>--> THINKING --</think>--> TELLING <--what is no call-- CALLING
 *     +---- anything else --------------------> |  |                         ^  |
 *                                               |  +---- a call begins ------+  +-- another call
 *
 * Of replies in channels (gpt-oss):
 *
 *   HEADER --<|message|>--> BODY, of thoughts, content or a call --<|end|>--> HEADER
 *
 * What may still turn out to be a mark is held back, and so are spaces before it. */
#ifndef SERVER_REPLY_READER_H
#define SERVER_REPLY_READER_H

#include <stdint.h>

#include "base/strbuf.h"
#include "server/tool_parse.h"

enum reply_state { REPLY_START, REPLY_THINKING, REPLY_TELLING, REPLY_CALLING, REPLY_HEADER,
                   REPLY_BODY };

struct reply_reader {
    enum reply_state state;
    const struct tool_syntax *syntax;   /* NULL: there are no calls in this reply */
    const json_t *tools;        /* as tool_parse takes them */
    struct strbuf *body;        /* BODY: what it is part of; NULL: a call's arguments */
    char *callee;               /* of that call */
    bool is_single;             /* what follows the first call is content */
    bool skips_spaces;          /* what comes next stands behind thoughts or a call */
    bool has_thought;           /* some thoughts, which the owner may have taken */
    bool has_told;              /* some content that is not spaces */
    struct strbuf held;
    struct strbuf thoughts, content;    /* found so far; the owner may clear them */
    struct tool_call *call;     /* (n_calls) */
    uint32_t n_calls;
    bool failed;                /* out of memory */
};

/* The reply goes on. is_end: with nothing more after this. */
void reply_reader_push(struct reply_reader *r, const char *text, size_t n, bool is_end);
void reply_reader_free(struct reply_reader *r);

#endif
