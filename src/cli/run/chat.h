/* A conversation with a model in this process.
 *
 * I1  The messages alternate: a question is kept together with its reply, or not at all. A reply
 *     that was stopped is kept as far as it came; a question that got no word of one is forgotten.
 *
 * One thread. */
#ifndef CLI_RUN_CHAT_H
#define CLI_RUN_CHAT_H

#include <jansson.h>
#include <stdbool.h>

#include "paceline.h"

struct chat {               /* zeroed is closed */
    pl_engine *engine;
    pl_sampling sampling;
    uint32_t max_tokens;
    bool is_raw;            /* prompts as they stand: no template, no memory */
    const char *system_prompt;          /* may be NULL */
    json_t *messages;
};

pl_status chat_open(struct chat *c, pl_err *err);
void chat_close(struct chat *c);

/* All but the system prompt. */
void chat_forget(struct chat *c);

/* Prints the reply to standard output as it grows, and what it took to standard error. Ctrl-C
 * (interrupt.h) ends the reply: *is_stopped. On failure nothing of the turn is kept. */
pl_status chat_ask(struct chat *c, const char *question, bool *is_stopped, pl_err *err);

#endif
