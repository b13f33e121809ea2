/* How far the loading of a model is: a bar on a terminal, a line every tenth elsewhere. One
 * thread. */
#ifndef CLI_LOAD_PROGRESS_H
#define CLI_LOAD_PROGRESS_H

#include "cli/progress.h"
#include "paceline.h"

struct load_progress {
    struct progress shown;
    pl_progress_fn *fn;             /* whether to go on; NULL: always */
    void *arg;
};

/* Until load_progress_end, pl_open with these params tells *p, which must stay where it is.
 * to: NULL says nothing. */
void load_progress_begin(struct load_progress *p, pl_params *params, FILE *to, pl_progress_fn *fn,
                         void *arg);
void load_progress_end(struct load_progress *p);

/* pl_open, with a bar on standard error where that is a terminal: a script's output stays as it
 * is. */
pl_status load_progress_open(pl_engine **engine, pl_params *params, pl_err *err);

#endif
