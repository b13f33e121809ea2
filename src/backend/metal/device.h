/* The one door to Metal: a device, its memory, its compiled kernels and the recording of work.
 * Behind it is Objective-C (device.m, commands.m); all else of the backend is C.
 *
 * I1  All memory is taken before metal_device_settle and is never given back before close.
 * Settling
 *     again after more was taken is allowed: while a model is being loaded, until
 *     metal_device_keep. It is resident when work begins, and for as long after as that says; on
 *     macOS 14, which knows no residency, it is locked instead.
 * I2  Nothing is allocated between metal_begin and metal_wait that outlives metal_wait. I3
 * Dispatches between two barriers are unordered; a dispatch sees what was written before the
 *     last barrier, by the host before metal_commit, or by all work committed before.
 * I4  What was committed and not waited for may be running: the host neither reads what it writes
 *     nor writes what it reads.
 *
 * Threads: one thread opens, records and waits. A thread of the device's own keeps its memory;
 * those of a pool make kernels. */
#ifndef BACKEND_METAL_DEVICE_H
#define BACKEND_METAL_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/thread_pool.h"

struct metal_device;
struct metal_pipeline;          /* a compiled kernel, owned by its device */

struct metal_facts {
    char name[64];              /* "Apple M4 Pro" */
    uint64_t working_set_bytes; /* that the GPU may keep resident; 0: not told */
    uint64_t max_buffer_bytes;
    bool has_tensors;           /* the tensor operations of Metal 4 */
    bool is_emulated;
};

/* Memory that host and GPU both see (storage mode shared). */
struct metal_buffer {
    void *bytes;                /* aligned to 64 at least, zeroed when taken */
    uint64_t n_bytes;
    void *object;               /* id<MTLBuffer>, the device's */
    uint64_t object_offset;     /* where in it the bytes begin */
};

/* Whether Metal lists a GPU that this backend runs on, or has such a one as its default: its name.
 * Else PL_E_UNSUPPORTED, and err says what was found. Compiles nothing. Any thread. */
pl_status metal_device_reach(char *name, size_t n_bytes, pl_err *err);

/* Opens that GPU and compiles `source`. When the compiler refuses it, err has its
 * first lines and `log`, unless NULL, gets all of what it said (malloc'ed; the caller frees it).
 * pipeline_dir: where compiled kernels are kept between runs; NULL: nowhere. */
pl_status metal_device_open(struct metal_device **out, const char *source, const char *pipeline_dir,
                            char **log, pl_err *err);
/* One more library of kernels, in Metal 4, where the facts say has_tensors. log as above. */
pl_status metal_device_add_tensors(struct metal_device *d, const char *source, char **log,
                                   pl_err *err);
void metal_device_close(struct metal_device *d);        /* NULL: nothing to do */
const struct metal_facts *metal_device_facts(const struct metal_device *d);

/* Bytes of all buffers that were taken or wrapped. */
uint64_t metal_device_n_bytes(const struct metal_device *d);

/* Metal makes no empty buffer. */
enum { METAL_LEAST_BUFFER = 16 };

/* Takes memory; `what` is for messages. 0 bytes give a buffer of the least size that must not be
 * read. */
pl_status metal_buffer_take(struct metal_device *d, uint64_t n_bytes, const char *what,
                            struct metal_buffer *out, pl_err *err);

/* The same of memory that is there already and that kernels only read, without a copy: a part of a
 * mapped file, aligned to 64, which the caller keeps until the device is closed. */
pl_status metal_buffer_wrap(struct metal_device *d, const void *bytes, uint64_t n_bytes,
                            const char *what, struct metal_buffer *out, pl_err *err);

/* After buffers were taken, before work that uses them: asks for residency of all of them. */
pl_status metal_device_settle(struct metal_device *d, pl_err *err);

/* Once, after the last settling: memory stays resident for keep_s seconds after the last work,
 * which a thread of the device sees to; 0: as long as the system likes. Where it was let go, it is
 * asked for again before the next work. */
pl_status metal_device_keep(struct metal_device *d, uint32_t keep_s, pl_err *err);

/* The kernel of this name. Function constants 0 .. n_constants - 1 are 32-bit integers. Made
 * once and kept: asking again gives the same. */
pl_status metal_pipeline_get(struct metal_device *d, const char *name, const int32_t *constant,
                             uint32_t n_constants, struct metal_pipeline **out, pl_err *err);

/* Makes kernels without constants on the pool's threads, which the caller may run, so that
 * metal_pipeline_get finds them. What cannot be made is left for that to say. */
enum { METAL_MAX_MADE = 32, METAL_MAX_NAME = 40 };
void metal_pipelines_make(struct metal_device *d, struct thread_pool *pool,
                          const char name[][METAL_MAX_NAME], uint32_t n);
uint32_t metal_pipeline_max_threads(const struct metal_pipeline *p);

/* ---- recording ------------------------------------------------------------------------------ */

enum { METAL_MAX_BUFFERS = 12, METAL_MAX_ARGS = 256 };

struct metal_binding {
    const struct metal_buffer *buffer;  /* NULL: not bound, the kernel does not read it */
    uint64_t offset;                    /* bytes; a multiple of 4 */
};

/* One dispatch of whole threadgroups. Buffer indices 0 .. n_buffers - 1 are `buffer`; the arguments
 * are index n_buffers. */
struct metal_dispatch {
    const struct metal_pipeline *pipeline;
    struct metal_binding buffer[METAL_MAX_BUFFERS];
    uint32_t n_buffers;
    const void *args;                   /* copied */
    uint32_t args_bytes;                /* METAL_MAX_ARGS at most; a multiple of 4 */
    uint32_t n_groups[3];               /* threadgroups; none may be 0 */
    uint32_t n_threads;                 /* a threadgroup, a multiple of 32 */
    uint32_t shared_bytes; /* threadgroup memory at index 0, a multiple of 16; 0: none */
    uint64_t n_macs, n_read_bytes;      /* about, where it is much: multiply-adds, and weights or KV
                                         * that it reads */
};

enum { METAL_MAX_COMMITTED = 2 };   /* and not waited for; another is recorded after a wait */

/* What is recorded from begin to commit goes to the GPU as one command buffer or several: one that
 * would take longer than a budget (pace.h) ends before the dispatch that is too much, and the GPU
 * is at it while the rest is recorded. Between them what was written before is seen, as behind a
 * barrier. */
void metal_begin(struct metal_device *d);
void metal_dispatch(struct metal_device *d, const struct metal_dispatch *what);
void metal_barrier(struct metal_device *d);
/* Ends recording and hands the work to the GPU. */
void metal_commit(struct metal_device *d);
/* Waits for the oldest that was committed. A failed command buffer gives PL_E_INTERNAL and what
 * Metal said, or PL_E_INTERRUPTED where the system killed it for taking too long or for another's
 * fault: the same work, best in smaller pieces, may well succeed. All that was begun by then fails
 * with it; after METAL_MAX_FAILURES in a row the queue is made anew. gpu_ns, unless NULL, gets the
 * time the GPU was busy. */
enum { METAL_MAX_FAILURES = 3 };
pl_status metal_wait(struct metal_device *d, uint64_t *gpu_ns, pl_err *err);

#endif
