/* The checked build's view of memory: what may be touched, and who touched each byte last.
 *
 * I1  An access lies within one buffer of the dispatch, threadgroup memory that was given or
 *     declared, the thread's own stack, or is a read of the library's tables.
 * I2  Two accesses to a byte by different threads, one of them a write, not both atomic, are
 *     ordered by a barrier between them that names the byte's kind of memory: threadgroup_barrier
 *     in a group, simdgroup_barrier in a simdgroup. Different groups of a dispatch are never
 *     ordered.
 *
 * Threads: belongs to the one worker that it checks. */
#ifndef METAL_EMULATOR_CHECKER_H
#define METAL_EMULATOR_CHECKER_H

#include "worker.h"

/* image_*: where the library's own data lies. NULL: no memory. */
struct checker *checker_open(const struct emu_dispatch *dispatch, const struct worker *worker,
                             uintptr_t image_low, uintptr_t image_high);
void checker_close(struct checker *c);

/* Before each threadgroup: its threadgroup memory is new. */
void checker_begin_group(struct checker *c, uint32_t group_number);

/* What kernels call. */
void checker_access(struct emu_group *g, const volatile void *at, uint64_t n_bytes, int kind,
                    const void *pc);

#endif
