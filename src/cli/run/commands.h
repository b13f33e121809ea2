/* What begins with "/" in a chat on a terminal. */
#ifndef CLI_RUN_COMMANDS_H
#define CLI_RUN_COMMANDS_H

#include "cli/run/chat.h"
#include "cli/run/input.h"

enum chat_command { CHAT_QUESTION, CHAT_DONE, CHAT_LEAVE };

/* Does what `text` says, and tells; CHAT_QUESTION: it is no command but something to ask. A path
 * like /etc/hosts is none. */
enum chat_command commands_do(struct chat *c, const struct input *in, const char *text);

#endif
