/* A run cut into equal spans of time, for its plots: tokens a second and how many requests ran. */
#ifndef CLI_LOAD_TIMELINE_H
#define CLI_LOAD_TIMELINE_H

#include "cli/load/run.h"

enum { TIMELINE_MAX_SPANS = 120 };

struct load_timeline {
    double span_s;              /* 1, 2 or 5 times a power of ten */
    size_t n_spans;
    double tok_s[TIMELINE_MAX_SPANS];   /* output tokens, whatever their request's end was */
    double running[TIMELINE_MAX_SPANS]; /* on average, from send to end */
};

void load_timeline_make(struct load_timeline *out, const struct load_run *run);

#endif
