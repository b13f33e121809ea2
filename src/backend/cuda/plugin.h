/* What the program and libpaceline_cuda.so say to each other. The program knows no CUDA: all that
 * needs the driver or a compiler for GPUs lies in the library, which the program opens when it
 * runs, so that one program runs with and without a GPU. The library is made of the .cu files of
 * this folder and links nothing of the program.
 *
 * Work is put on one stream: whatever is launched runs after what was launched before. Failures of
 * launches are kept and told by the next `wait`. Threads: one at a time. */
#ifndef BACKEND_CUDA_PLUGIN_H
#define BACKEND_CUDA_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#include "backend/cuda/op_args.h"
#include "backend/cuda/sampling_args.h"

enum { CUDA_PLUGIN_VERSION = 1, CUDA_TEXT_BYTES = 200 };

#define CUDA_PLUGIN_SYMBOL "paceline_cuda_plugin"

struct cuda_device;
struct cuda_graph;

/* X(name, type of its args): what can be launched. Of sampling those that rows' picks want, in this
 * order: measure_probs, touch, (finish_logits of touched rows), pick, finish_probs. */
#define CUDA_KERNELS(X)                                                                            \
    X(embed, embed_args)                                                                           \
    X(norm, norm_args)                                                                             \
    X(norm_rows, norm_args)                                                                        \
    X(join, join_args)                                                                             \
    X(activate, activate_args)                                                                     \
    X(product, product_args)                                                                       \
    X(finish_heads, heads_args)                                                                    \
    X(attend, attend_args)                                                                         \
    X(finish_logits, logits_args)                                                                  \
    X(measure_probs, sampling_args)                                                                \
    X(touch, sampling_args)                                                                        \
    X(pick, sampling_args)                                                                         \
    X(finish_probs, sampling_args)

enum cuda_kernel {
#define X(name, args) CUDA_##name,
    CUDA_KERNELS(X)
#undef X
    N_CUDA_KERNELS
};

struct cuda_facts {
    char name[96];              /* "NVIDIA H200" */
    uint32_t n_multiprocessors;
    uint64_t memory_bytes, free_bytes;
};

/* 0: it was done. Else text says why not. */
typedef int cuda_status;

struct cuda_plugin {
    uint32_t version;           /* CUDA_PLUGIN_VERSION */

    /* The first GPU that the kernels were compiled for. reach: only looks whether there is one. */
    cuda_status (*reach)(struct cuda_facts *facts, char text[CUDA_TEXT_BYTES]);
    cuda_status (*open)(struct cuda_device **out, struct cuda_facts *facts,
                        char text[CUDA_TEXT_BYTES]);
    void (*close)(struct cuda_device *d);       /* and all memory that was taken; NULL: nothing */

    /* Memory: the device's, zeroed, or the host's that the device reads and writes itself. */
    cuda_status (*take)(struct cuda_device *d, uint64_t n_bytes, void **out,
                        char text[CUDA_TEXT_BYTES]);
    cuda_status (*take_host)(struct cuda_device *d, uint64_t n_bytes, void **out,
                             char text[CUDA_TEXT_BYTES]);
    /* On the stream. The host's side is memory of take_host, or, of upload_now, any. */
    void (*upload)(struct cuda_device *d, void *to, const void *from, uint64_t n_bytes);
    void (*download)(struct cuda_device *d, void *to, const void *from, uint64_t n_bytes);
    void (*copy)(struct cuda_device *d, void *to, const void *from, uint64_t n_bytes);
    cuda_status (*upload_now)(struct cuda_device *d, void *to, const void *from, uint64_t n_bytes,
                              char text[CUDA_TEXT_BYTES]);
    /* Until all that was launched is done. */
    cuda_status (*wait)(struct cuda_device *d, char text[CUDA_TEXT_BYTES]);
    /* Marks, for `wait` of a part and for times: up to CUDA_MARKS of them. */
    void (*mark)(struct cuda_device *d, uint32_t mark);
    cuda_status (*wait_mark)(struct cuda_device *d, uint32_t mark, char text[CUDA_TEXT_BYTES]);
    float (*ms_between)(struct cuda_device *d, uint32_t first, uint32_t second);

    /* args: the kernel's, by CUDA_KERNELS. */
    void (*launch)(struct cuda_device *d, enum cuda_kernel kernel, const void *args);

    /* What is launched between the two is not run, but becomes a graph, which runs it at once. On
     * failure there is none, and nothing was launched. */
    void (*graph_begin)(struct cuda_device *d);
    cuda_status (*graph_end)(struct cuda_device *d, struct cuda_graph **out,
                             char text[CUDA_TEXT_BYTES]);
    void (*graph_run)(struct cuda_device *d, struct cuda_graph *g);
    void (*graph_free)(struct cuda_device *d, struct cuda_graph *g);     /* none of it may run */

    /* Multiply-adds of halves and plain reads a second. */
    cuda_status (*measure)(struct cuda_device *d, double *macs_per_s, double *read_bytes_per_s,
                           char text[CUDA_TEXT_BYTES]);
};

enum { CUDA_MARKS = 2048 };

/* What CUDA_PLUGIN_SYMBOL is. */
typedef const struct cuda_plugin *cuda_plugin_fn(void);

#endif
