/* Whether the step that runs has taken longer than any step of its size would: what /health asks.
 *
 * A step's work is its columns, each counted the more the further back it looks. What a unit of
 * work takes is told by the steps before: the slowest counts, and is forgotten little by little. A
 * step may take STEP_WATCH_FACTOR times what its work would, and STEP_WATCH_FLOOR_NS at least;
 * before any was measured, a unit may take STEP_WATCH_FIRST_NS. So a prompt of thousands of columns
 * in one step is no fault on a slow machine, and a step that hangs is one whatever came before it.
 *
 * The engine thread begins and ends steps; any thread asks while one runs. Times are the caller's.
 */
#ifndef ENGINE_STEP_WATCH_H
#define ENGINE_STEP_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "backend/backend.h"

enum { STEP_WATCH_FACTOR = 20 };
#define STEP_WATCH_FLOOR_NS 30000000000ull
#define STEP_WATCH_FIRST_NS 2000000000ull

struct step_watch {
    _Atomic uint64_t due_ns;    /* when the step that runs must be done; 0: none runs. Relaxed: it
                                 * says nothing of other memory */
    double ns_per_unit;         /* the engine thread's; 0: none was measured */
};

/* At least what a few columns take: the weights are read for one as for many. */
double step_watch_work(const struct batch *batch);

void step_watch_begin(struct step_watch *w, double work, uint64_t now_ns);

/* The step took ns: counts for those to come. It is still the one that runs, until the next is
 * begun or none is. */
void step_watch_measure(struct step_watch *w, double work, uint64_t ns);

/* None runs now. */
void step_watch_rest(struct step_watch *w);

bool step_watch_is_well(const struct step_watch *w, uint64_t now_ns);

#endif
