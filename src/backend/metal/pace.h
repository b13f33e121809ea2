/* How long the GPU is at what is recorded, and when a command buffer is to end: macOS kills one
 * that keeps the display waiting ("Impacting Interactivity"), so none should take longer than a
 * budget.
 *
 * What a dispatch takes on the slowest GPU known is computed from what it multiplies and reads;
 * what command buffers really took, over what was expected of them, is the factor for those to
 * come. A longer time counts at once, a shorter one little by little.
 *
 * Threads: one, the device's. Times are the caller's. */
#ifndef BACKEND_METAL_PACE_H
#define BACKEND_METAL_PACE_H

#include <stdbool.h>
#include <stdint.h>

/* Apple names no limit. Kills were told of command buffers of a second and more; a display that
 * waits for 150 ms is seen. */
#define PACE_BUDGET_NS 150000000ull
/* A budget is never halved below this: shorter command buffers cost more than they spare. */
#define PACE_LEAST_NS 10000000ull

struct pace {
    uint64_t budget_ns;         /* of a command buffer */
    double factor;              /* 0: nothing was measured */
};

/* What a dispatch takes by the slowest GPU's rates: an M1 of 7 cores, rather less. */
double pace_expected_ns(uint64_t n_macs, uint64_t n_read_bytes);

/* Whether a command buffer of which recorded_ns are expected may have next_ns more. */
bool pace_has_room(const struct pace *p, double recorded_ns, double next_ns);

/* A command buffer of which expected_ns were expected took took_ns; 0: it is not known. */
void pace_learn(struct pace *p, double expected_ns, uint64_t took_ns);

/* The system killed one: the next get half the time. */
void pace_halve(struct pace *p);

#endif
