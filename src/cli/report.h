/* Reports of tables and plots: as a page in one file that needs nothing else (--html of plan and
 * load), or as text.
 *
 * The JSON of a report; members of a section but "heading" may be missing, null stands for no
 * value:
 *   { "title": "", "lead": "", "made": "by what and when", "sections": [
 *     { "heading": "",
 *       "text": [""],
 *       "tables": [{ "caption": "", "head": [""], "rows": [["", 1.5, null]] }],
 *       "plots": [{ "caption": "",
 *                   "x": { "label": "", "values": [1, 2], "log": false },
 *                   "y": { "label": "", "log": false },
 *                   "series": [{ "label": "", "values": [1.5, null], "dash": false }] }] }] } */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/status.h"

/* Writes the page of `report` (borrowed) to a new file at `path`. PL_E_IO with the reason. */
pl_status report_write(const char *path, const json_t *report, pl_err *err);

/* Titles, text and tables, as lines of a terminal; plots are left out. Tables are at most as wide
 * as the terminal, or 80 columns, and go on below where they would be wider; sentences are broken
 * on a terminal alone. */
void report_print(FILE *to, const json_t *report, bool has_colours);

#endif
