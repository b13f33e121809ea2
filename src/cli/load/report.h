/* A run's report: as text for people, as JSON for programs (docs/load.md lists the members), as a
 * page of plots; and two reports of JSON beside each other. */
#ifndef CLI_LOAD_REPORT_H
#define CLI_LOAD_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "cli/load/figures.h"

struct load_result {
    const struct load_options *o;
    const struct load_run *run;
    const struct load_figures *figures;
    char time[32];              /* when the run began, UTC */
};

void load_report_print(FILE *to, const struct load_result *r);

/* NULL: out of memory. With `records`, every counted request's. */
json_t *load_report_json(const struct load_result *r, bool records);

pl_status load_report_html(const char *path, const struct load_result *r, pl_err *err);

/* "closed loop, 20 at a time, 100 requests" */
void load_describe_loop(const struct load_options *o, char *out, size_t n_out);

/* Prints the figures of two JSON reports and b over a. PL_E_IO, PL_E_PARAM: which file, and why. */
pl_status load_compare(FILE *to, const char *path_a, const char *path_b, pl_err *err);

#endif
