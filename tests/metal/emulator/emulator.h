/* Runs kernels written in the Metal Shading Language on Linux x86-64: a generator turns the source
 * into C++, clang compiles it, every thread of a threadgroup becomes a fiber. README.md in the
 * folder above says what is modelled and what is not.
 *
 * Ownership: a library owns its kernels; what emu_compile and emu_memory_take give is given back by
 * emu_library_close and emu_memory_give. A dispatch owns nothing.
 *
 * Threads: any one thread may compile or run while another does not. emu_run itself computes on up
 * to emu_set_threads threads, and returns when all is done. */
#ifndef METAL_EMULATOR_H
#define METAL_EMULATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum emu_build {
    EMU_RUN,            /* fast; IEEE arithmetic, no contraction */
    EMU_CHECKED,        /* every access is checked: bounds, races; slower */
    EMU_FAST_MATH,      /* EMU_RUN with -ffast-math, and what EMU_FAST_FUNCTIONS has */
    EMU_FAST_FUNCTIONS, /* EMU_RUN with exp and tanh as Apple's fast ones */
};

struct emu_library;
struct emu_kernel;

/* Compiles; what comes out is kept under $XDG_CACHE_HOME or ~/.cache in paceline/metal-emulated, by
 * a hash of source, shim and flags. NULL: refused, and *log, malloc'ed, says why; else *log is
 * NULL. */
struct emu_library *emu_compile(const char *source, enum emu_build build, char **log);
/* The same of a library that was compiled otherwise, for what abi.h says. */
struct emu_library *emu_library_open(const char *path, enum emu_build build, char **log);
void emu_library_close(struct emu_library *library);    /* NULL: nothing to do */

/* Looks for what a compiler would not take or take amiss: casts between address spaces. Slow, not
 * kept. (The lint of the text is part of every compilation.) false: *log, malloc'ed, says what. */
bool emu_lint(const char *source, char **log);

/* By host_name, else by the function's name; NULL: there is none. */
const struct emu_kernel *emu_kernel_find(const struct emu_library *library, const char *name);
const struct emu_kernel *emu_kernel_at(const struct emu_library *library, size_t i); /* NULL: end */
const char *emu_kernel_name(const struct emu_kernel *kernel);
uint32_t emu_kernel_buffers(const struct emu_kernel *kernel);   /* bit n: takes [[buffer(n)]] */
uint32_t emu_kernel_shared(const struct emu_kernel *kernel);    /* bit n: takes
                                                                 * [[threadgroup(n)]] */

/* Of a threadgroup, as its max_total_threads_per_threadgroup says; else what is possible. */
uint32_t emu_kernel_max_threads(const struct emu_kernel *kernel);

enum {
    EMU_MAX_BUFFERS = 31, EMU_MAX_CONSTANTS = 32, EMU_MAX_THREADS = 1024,
    EMU_MAX_SHARED_BYTES = 32768,
};

/* One dispatch of whole threadgroups. All zero but what is used. */
struct emu_dispatch {
    const struct emu_kernel *kernel;
    struct {
        void *at;               /* NULL: not bound; a kernel may take it and not use it */
        uint64_t n_bytes;       /* to the end of what it is part of */
    } buffer[EMU_MAX_BUFFERS];
    uint32_t shared_bytes[EMU_MAX_BUFFERS];     /* threadgroup memory by index */
    uint64_t constants_set;                     /* bit n: function constant n has a value, */
    uint32_t constant[EMU_MAX_CONSTANTS];       /* its bits: an integer, a bool or a float */
    uint32_t n_groups[3], n_threads[3];
};

/* Runs it to its end. false: text says what was wrong: a race, an access out of bounds, a barrier
 * that some threads did not reach, a buffer that was not bound, too much threadgroup memory. Memory
 * then holds whatever was written until then. */
bool emu_run(const struct emu_dispatch *dispatch, char *text, size_t n_text);

/* Zeroed memory whose end meets a page that cannot be touched, to within 64 bytes: a stray access
 * of the run build ends the dispatch with a text. NULL: there is none to be had. */
void *emu_memory_take(uint64_t n_bytes);
void emu_memory_give(void *memory);             /* NULL: nothing to do */

/* Which of the runnable goes next: of threadgroups, simdgroups and lanes. Any order must give the
 * same. */
enum emu_order { EMU_ASCENDING, EMU_DESCENDING, EMU_SHUFFLED };
void emu_set_order(enum emu_order order, uint64_t seed);

/* Which elements of an 8 x 8 matrix a lane holds; EMU_LAYOUT_APPLE is what GPUs have up to now. Not
 * while anything depends on the old one. */
enum emu_layout { EMU_LAYOUT_APPLE, EMU_LAYOUT_OTHER };
void emu_set_layout(enum emu_layout layout);

/* Host threads for dispatches of many threadgroups; 1 at first. Checked dispatches use one. */
void emu_set_threads(uint32_t n);

#ifdef __cplusplus
}
#endif

#endif
