/* A worker runs threadgroups, one after the other, each thread a fiber with a stack of its own.
 *
 * I1  Fibers switch only where a kernel waits: simd functions and barriers. Until then one runs
 *     alone.
 * I2  A simdgroup's lanes at a simd function go on when the last of them has come; a threadgroup's
 *     threads at a barrier when all have. Where that cannot happen any more the kernel is in error.
 * I3  A report ends the dispatch: the fibers are left as they are, on their stacks.
 *
 * Threads: a worker belongs to the thread that runs it. */
#ifndef METAL_EMULATOR_WORKER_H
#define METAL_EMULATOR_WORKER_H

#include <stdbool.h>
#include <stddef.h>

#include "abi.h"
#include "emulator.h"

struct checker;

/* Room for EMU_MAX_SHARED_BYTES and what is left free between, so that strays are seen. */
enum { WORKER_SHARED_BYTES = 64 * 1024 };

struct worker {
    struct emu_group group;             /* first: kernels hand it back */
    struct emu_fiber main;              /* the thread itself, while fibers run */
    struct emu_fiber *fibers;           /* EMU_MAX_THREADS */
    struct emu_simd *simds;             /* EMU_MAX_SIMDS */
    char *stacks;
    const struct emu_entry *entry;
    uint32_t n_blocked, n_finished;
    uint32_t group_epoch[2];           /* threadgroup barriers passed: threadgroup, device memory */
    uint8_t simd_order[EMU_MAX_SIMDS];
    enum emu_order order;
    uint64_t random;
    unsigned char *shared;              /* what the dispatch gives */
    unsigned char *static_shared;       /* what kernels declare */
    uint32_t shared_bytes;              /* of what the dispatch gives */
    uint32_t static_bytes;              /* of what kernels have declared and may have written */
    struct checker *checker;            /* NULL: nothing is checked */
    bool has_failed;
    const void *pc[2];                  /* of the report: "%1", "%2" in its text are their lines */
    char text[512];
};

/* NULL: no memory. */
struct worker *emu_worker_open(void);
void emu_worker_close(struct worker *w);

/* Runs group `at`; false: has_failed. The fields of group, entry, order are set. */
bool emu_worker_run(struct worker *w, const uint32_t at[3]);

/* Ends the dispatch from within a fiber. */
_Noreturn void emu_worker_fail(struct worker *w, const void *pc, const void *other,
                               const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* What kernels call. */
void worker_meet(struct emu_group *g, const void *kind, const char *what,
                 void (*combine)(struct emu_simd *));
void worker_simd_barrier(struct emu_group *g, uint32_t flags);
void worker_barrier(struct emu_group *g, uint32_t flags);
void *worker_shared(struct emu_group *g, uint64_t n_bytes, uint64_t align);

/* The stack of the fiber that runs. */
void emu_worker_stack(const struct worker *w, uintptr_t *low, uintptr_t *high);

/* The worker of this thread while it runs fibers, for signal handlers. */
struct worker *emu_worker_running(void);

#endif
