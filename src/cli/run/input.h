/* Questions as they are typed, or as a pipe brings them.
 *
 * On a terminal: a line with editing and history (libedit, the one file that knows it is input.c),
 * or several lines between """ and """. Elsewhere every line is a question as it stands. One
 * thread; interrupt_catch comes first. */
#ifndef CLI_RUN_INPUT_H
#define CLI_RUN_INPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/strbuf.h"

enum input_kind {
    INPUT_TEXT,             /* a question, or a command: /help */
    INPUT_INTERRUPTED,      /* Ctrl-C; what was typed of it is gone */
    INPUT_END,              /* Ctrl-D, or the end of the pipe */
};

struct input {              /* zeroed is closed */
    struct editline *editor;            /* NULL: a pipe, a file, or output that is not a terminal */
    struct history *history;
    char history_path[4096];            /* empty: none is kept */
    char *line;                         /* of getline */
    size_t capacity;
    struct strbuf text;
};

/* Never fails: without the editor, or a place for the history, it does without. */
void input_open(struct input *in);

/* *text stays until the next call; it is not empty. */
enum input_kind input_read(struct input *in, const char **text);

void input_close(struct input *in);

#endif
