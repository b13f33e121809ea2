/* Guarded memory (emulator.h has its taking and giving) and faults in kernels.
 *
 * Threads: memory_watch and _unwatch by the one that dispatches, _thread by each that computes. */
#ifndef METAL_EMULATOR_MEMORY_H
#define METAL_EMULATOR_MEMORY_H

#include "emulator.h"

/* An address that may be computed with and not touched, for a buffer that is not bound; NULL:
 * none. */
void *memory_unbound(int index);
int memory_unbound_index(const void *at);       /* -1: it is no such address */

/* From here on a fault in a fiber ends its worker's group with a text. */
void memory_watch(const struct emu_dispatch *dispatch);
void memory_unwatch(void);
bool memory_watch_thread(void);
void memory_unwatch_thread(void);

#endif
