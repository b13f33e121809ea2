/* The bench of a report: how fast models run here, beside what paceline plan says of the limits
 * that were measured just now. One thread. */
#ifndef CLI_SELF_TEST_MODELS_AT_HAND_H
#define CLI_SELF_TEST_MODELS_AT_HAND_H

#include "base/strbuf.h"
#include "cli/args.h"
#include "paceline.h"

enum { REPORT_MAX_ROWS = 16 };

struct report_bench {
    const char *backend, *dir;          /* as pl_params; of models, NULL: the user's */
    struct arg_strings models;          /* files or names; none: all that were pulled */
    uint32_t streams[REPORT_MAX_ROWS], n_rows;
    pl_machine machine;                 /* measured */
};

/* "1,5,10,20,30" to streams. PL_E_PARAM: they are none. */
pl_status report_bench_parse(struct report_bench *b, const char *list, pl_err *err);

/* Appends a table a model. One that does not open, or does not fit, is a line that says why. */
void report_bench_run(const struct report_bench *b, struct strbuf *to);

#endif
