/* The report of `paceline self-test --report`: what a person with a machine that its authors do not
 * have can tell them, in one file to paste into an issue. How it is read: docs/metal.md.
 *
 * From report_begin to report_end log lines are collected in place of standard error's. One
 * report at a time, one thread; log lines may come from others. */
#ifndef CLI_SELF_TEST_REPORT_H
#define CLI_SELF_TEST_REPORT_H

#include <pthread.h>
#include <stdio.h>

#include "cli/self_test/models_at_hand.h"

struct self_report {
    struct strbuf checks, bench;
    struct strbuf compiler, kernels, log;   /* lines of the log, each once */
    pthread_mutex_t lock;                   /* of these three */
    const char *path;
    FILE *file;
    pl_machine machine;
    char failure[512];                      /* why it could not be finished; empty: it was */
    bool is_measured;
};

/* Opens the file at once: what takes minutes is not lost to a wrong name. path "-": standard
 * output; it lives until report_end. PL_E_IO with the reason, and nothing is begun. */
pl_status report_begin(struct self_report *r, const char *path, pl_err *err);

void report_add_check(struct self_report *r, const char *what, bool is_ok, const char *text);

/* Writes it without what is private (clean.h) and lets go of all. PL_E_IO with the reason. */
pl_status report_end(struct self_report *r, pl_err *err);

#endif
