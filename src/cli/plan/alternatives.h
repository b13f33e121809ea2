/* What fits where a plan does not. By one change of the command line where that does; else by
 * several, down to one stream; else another model. */
#ifndef CLI_PLAN_ALTERNATIVES_H
#define CLI_PLAN_ALTERNATIVES_H

#include <jansson.h>

#include "cli/plan/subject.h"

/* Where the plan does not fit, the nearest ones that do, each with "change": what of the command
 * line makes it so. Empty where it fits, or where no preset of a model fits the machine. */
json_t *plan_alternatives_json(const struct plan_subject *s);

#endif
