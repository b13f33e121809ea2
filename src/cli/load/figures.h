/* The figures of a run, computed from its records; docs/load.md defines them for users.
 *
 * Latencies are of requests that ended well and streamed; end to end also of those that did not
 * stream. In an open loop time to first token and end to end count from the scheduled arrival, so
 * that time a request waited in this program is not left out (coordinated omission). */
#ifndef CLI_LOAD_FIGURES_H
#define CLI_LOAD_FIGURES_H

#include "cli/load/options.h"
#include "cli/load/run.h"
#include "cli/load/stats.h"

enum load_figure {
    LOAD_TTFT,          /* until the first chunk */
    LOAD_ITL,           /* between tokens: a gap between chunks shared by the tokens of a chunk */
    LOAD_TPOT,          /* of a request: first to last chunk over its tokens but one */
    LOAD_E2E,           /* until the last byte */
    LOAD_TTFT_SENT,     /* open loop only: the same from when it was sent */
    LOAD_E2E_SENT,
    LOAD_DELAY,         /* from the scheduled arrival until it was sent */
    LOAD_N_FIGURES
};

struct load_figure_name {
    const char *key;            /* in JSON, seconds: "ttft_s" */
    const char *name;           /* in tables */
    bool is_of_open_loop;
};
extern const struct load_figure_name load_figure_names[LOAD_N_FIGURES];

enum { LOAD_MAX_ERRORS = 32 };

struct load_error {             /* requests that failed alike: same outcome and status */
    enum load_outcome outcome;
    int status;
    uint64_t n;
    const char *message;        /* the first one's; the record's */
    double retry_after_s;       /* the longest told; below 0: none */
};

struct load_figures {
    uint64_t n_ok, n_failed, n_dropped;
    uint64_t n_without_usage;   /* ok, tokens counted as chunks or not at all */
    uint64_t n_not_streamed;    /* ok, though a stream was asked for */
    uint64_t n_prompt, n_cached, n_output;  /* tokens of what ended well */
    double wall_s;              /* from the first request sent to the last one's end */
    double requests_per_s, output_tok_s, total_tok_s;
    struct load_samples samples[LOAD_N_FIGURES];        /* seconds, sorted */
    struct load_summary summary[LOAD_N_FIGURES];
    struct load_error errors[LOAD_MAX_ERRORS];  /* commonest first; more kinds count in the last */
    size_t n_errors;
};

/* Keeps pointers into the run. Release with load_figures_free, also after a failure. */
pl_status load_figures_make(struct load_figures *out, const struct load_run *run,
                            const struct load_options *o, pl_err *err);
void load_figures_free(struct load_figures *f);

/* "HTTP 429", "timeout", "cut stream" */
void load_error_name(const struct load_error *e, char *out, size_t n_out);

/* Tokens that a chunk after the first stands for, on average; the first one counts as one token. */
double load_chunk_tokens(const struct load_record *r);

#endif
