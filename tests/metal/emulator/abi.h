/* What the engine and a compiled kernel library share. Included by C (the engine) and by C++ (the
 * shim), so it includes little and names everything emu_. */
#ifndef METAL_EMULATOR_ABI_H
#define METAL_EMULATOR_ABI_H

#include <stdint.h>

enum {
    EMU_LANES = 32,             /* of a simdgroup */
    EMU_MAX_SIMDS = 32,         /* of a threadgroup */
    EMU_VALUE_BYTES = 32,       /* of what a lane brings to a simd function */
    EMU_MATRIX = 64,            /* elements */
    EMU_MAX_PARTS = 8,          /* object files of a library */
    EMU_MEM_DEVICE = 1, EMU_MEM_THREADGROUP = 2,
    EMU_READ = 0, EMU_WRITE = 1, EMU_ATOMIC = 2,
};

/* Where the lanes of a simdgroup meet. What they bring lies in `in` or a, b, c by lane or element;
 * the last to come combines it into `out` or d, and each takes its own from there. */
struct emu_simd {
    uint32_t present, waiting, blocked, finished;   /* lanes by bit: exist, are at a simd
                                                     * function, */
    const char *what;                               /* at a barrier, returned; which function */
    const void *kind;
    uint32_t epoch[2];                             /* barriers passed: threadgroup, device memory */
    uint32_t n_lanes;
    uint32_t flags;                                 /* of the barrier that is waited at */
    uint32_t arg[EMU_LANES];
    unsigned char in[EMU_LANES][EMU_VALUE_BYTES] __attribute__((aligned(64)));
    unsigned char out[EMU_LANES][EMU_VALUE_BYTES] __attribute__((aligned(64)));
    float a[EMU_MATRIX] __attribute__((aligned(64))), b[EMU_MATRIX], c[EMU_MATRIX], d[EMU_MATRIX];
};

/* A thread of the grid. */
struct emu_fiber {
    void *sp, *ip, *bp;         /* where it goes on; the switch knows these offsets */
    struct emu_simd *simd;
    uint32_t lane, simd_index, index;
    uint32_t element;           /* the first of its two in a matrix: 8 row + column */
    uint32_t at[3];             /* position in the threadgroup */
    uint32_t shared_bytes;      /* threadgroup arrays that it has declared so far */
    const void *pc;             /* where it waits */
};

/* A threadgroup. */
struct emu_group {
    struct emu_fiber *now;
    uint32_t at[3], n_groups[3], n_threads[3];
    uint32_t n_simds, n_in_group;
    void *const *buffer;        /* by index */
    void *const *shared;
};

/* The engine, as kernels call it. */
struct emu_engine {
    /* Waits for the other lanes at the same function (kind); the last calls combine. */
    void (*meet)(struct emu_group *, const void *kind, const char *what,
                 void (*combine)(struct emu_simd *));
    void (*simd_barrier)(struct emu_group *, uint32_t flags);
    void (*barrier)(struct emu_group *, uint32_t flags);
    /* Memory of a threadgroup array declared in a kernel: the same for all threads. */
    void *(*shared)(struct emu_group *, uint64_t n_bytes, uint64_t align);
    void (*access)(struct emu_group *, const volatile void *at, uint64_t n_bytes, int kind,
                   const void *pc);
};

struct emu_entry {
    const char *name;
    void (*run)(struct emu_group *);
    uint32_t buffers, shared;   /* bits */
    uint32_t max_threads;       /* of a threadgroup, as it declares; 0: it does not */
};

/* Each object file of a library exports one of these, emu_part_0 and so on. */
struct emu_part {
    const struct emu_entry *entries;    /* ends with a NULL name */
    void (*bind)(const struct emu_engine *);
    void (*set_constants)(uint64_t set, const uint32_t *value);
    const char *const *constants;       /* names by index, for messages; NULL: none */
};

#endif
