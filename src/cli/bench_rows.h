/* How fast an open model reads prompts and generates replies, for a number of streams. One thread.
 *
 * Counted as llama-batched-bench counts: every prompt is read before any reply goes on; the
 * prefill rate is prompt tokens over the time of those steps, the decode rate reply tokens of all
 * streams over the time of the steps after them. The first reply token comes with the last prompt
 * column and so counts in neither; choosing the tokens is in the time (there it is not). Before
 * the first row a short prompt is run and thrown away, to warm up. */
#ifndef CLI_BENCH_ROWS_H
#define CLI_BENCH_ROWS_H

#include "paceline.h"

struct bench_run {
    pl_engine *engine;          /* of as many streams as rows will have, and as much context */
    uint32_t n_prompt, n_gen;   /* tokens of each stream */
};

struct bench_row {
    uint32_t n_streams;
    double prefill_tok_s, decode_tok_s, step_ms;
    struct {
        const char *name;
        double ms;              /* of a decode step */
    } operation[PL_OPERATIONS_MAX];
    uint32_t n_operations;
};

/* Before the first row. */
pl_status bench_warm_up(const struct bench_run *run, pl_err *err);

/* Progress goes to standard error where that is a terminal. */
pl_status bench_row_run(const struct bench_run *run, uint32_t n_streams, struct bench_row *out,
                        pl_err *err);

#endif
