/* Whether a machine was quiet while its limits were measured: what a busy one gives is too low,
 * and so is all that follows from it. */
#ifndef CLI_PLAN_BUSY_H
#define CLI_PLAN_BUSY_H

#include <stdbool.h>
#include <stddef.h>

struct measured_twice {
    double load_average;        /* of the minute before; negative: the system does not say */
    double n_processors;
    double macs_per_s[2], read_bytes_per_s[2];
};

/* What the system says before anything is measured; the rates are the caller's. */
void measured_before(struct measured_twice *m);

/* True, with the reason in words: more wants to run than there are processors, or one of two
 * measurements right after each other stayed far under the other. Else false and an empty text. */
bool measured_busy(const struct measured_twice *m, char *why, size_t n);

#endif
