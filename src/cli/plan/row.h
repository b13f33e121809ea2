/* What one load makes of a plan's subject: pieces that a plan's tables are made of. NULL: out of
 * memory. */
#ifndef CLI_PLAN_ROW_H
#define CLI_PLAN_ROW_H

#include <jansson.h>

#include "cli/plan/subject.h"

json_t *plan_bytes_json(double bytes);      /* bytes are whole numbers */
json_t *plan_step_json(const struct estimate *e, uint32_t n_streams);
json_t *plan_memory_json(const struct plan_subject *s, const struct plan_load *load);

/* One row of the tables. */
json_t *plan_row_json(const struct plan_subject *s, const struct plan_load *load, uint32_t depth);

#endif
