/* One line on a terminal that says how far a load is. */
#ifndef CLI_LOAD_PROGRESS_H
#define CLI_LOAD_PROGRESS_H

#include <stdio.h>

#include "cli/load/run.h"

enum { PROGRESS_WINDOW = 10 };

struct progress_line {
    FILE *to;                   /* a terminal; NULL: nothing is written */
    struct {
        double at_s;
        uint64_t n_chunks;
    } seen[PROGRESS_WINDOW];    /* the last calls, for tok/s of about two seconds */
    size_t n_seen;
};

/* A load_progress_fn; `arg` is a struct progress_line. The line is wiped when a run is over. */
void progress_line_show(void *arg, const struct load_progress *p);

/* What the line says, without the terminal's part. */
void progress_line_text(struct progress_line *l, const struct load_progress *p, char *out,
                        size_t n_out);

#endif
