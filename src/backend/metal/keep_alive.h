/* Memory that is kept where the GPU has it at once. macOS lets go of what a program asked to be
 * resident when it lies idle, and the next command buffer then waits until all of it is wired
 * again: seconds, for a large model. So whoever asked asks again: before work that comes after a
 * pause, and from a thread of its own as long as work may come soon.
 *
 * Threads: one opens, uses and closes; `ask` is called by that one and by a thread of ours, never
 * by both at once. */
#ifndef BACKEND_METAL_KEEP_ALIVE_H
#define BACKEND_METAL_KEEP_ALIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/* Between two times of asking. */
#define KEEP_ALIVE_PERIOD_NS 500000000ull

struct keep_alive;

/* keep_ns: how long after the last use the thread goes on asking; 0: there is no thread. */
pl_status keep_alive_open(struct keep_alive **out, uint64_t keep_ns, uint64_t period_ns,
                          void (*ask)(void *arg), void *arg, pl_err *err);

/* Work begins: asks where nobody did for a period. */
void keep_alive_use(struct keep_alive *k);

/* Whether the thread waits for the next use, the last being longer ago than it keeps. */
bool keep_alive_is_asleep(struct keep_alive *k);

void keep_alive_close(struct keep_alive *k);            /* NULL: nothing to do */

#endif
