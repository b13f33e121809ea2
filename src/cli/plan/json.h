/* A plan as data, and as the report made of it. */
#ifndef CLI_PLAN_JSON_H
#define CLI_PLAN_JSON_H

#include <jansson.h>

#include "cli/args.h"
#include "cli/plan/subject.h"

enum { PLAN_MAX_HEAT = 16 };

/* What a person adds to a plan. */
struct plan_extras {
    struct {
        const struct machine *machine;
        double amount;
    } price[ARG_MAX_STRINGS];
    size_t n_prices;
    struct {
        double minute, share;   /* of the speed that is left after so long */
    } heat[PLAN_MAX_HEAT];
    size_t n_heat;
};

/* Everything plan says: what --json prints. NULL: out of memory. */
json_t *plan_json(const struct plan_subject *s, const struct plan_extras *x);

/* "A = what = numbers = result" for each figure of the plan: what --explain shows. */
json_t *plan_formulas(const struct plan_subject *s);

/* Of that, a report (cli/report.h); with `explain`, every line with its formula and numbers. */
json_t *plan_report(const struct plan_subject *s, const json_t *plan, bool explain);

#endif
