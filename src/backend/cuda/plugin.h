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

    /* Memory: the device's, zeroed, or the host's that the device reads and writes at full speed. */
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

    /* Kernels. */
    void (*embed)(struct cuda_device *d, const struct embed_args *a);
    void (*norm)(struct cuda_device *d, const struct norm_args *a);
    void (*norm_rows)(struct cuda_device *d, const struct norm_args *a);
    void (*join)(struct cuda_device *d, const struct join_args *a);
    void (*activate)(struct cuda_device *d, const struct activate_args *a);
    void (*product)(struct cuda_device *d, const struct product_args *a);
    void (*finish_heads)(struct cuda_device *d, const struct heads_args *a);
    void (*attend)(struct cuda_device *d, const struct attend_args *a);
    void (*finish_logits)(struct cuda_device *d, const struct logits_args *a);
    /* Of rows whose pick wants it: measure, touch, (finish_logits of touched rows), pick, finish. */
    void (*measure_probs)(struct cuda_device *d, const struct sampling_args *a);
    void (*touch)(struct cuda_device *d, const struct sampling_args *a);
    void (*pick)(struct cuda_device *d, const struct sampling_args *a);
    void (*finish_probs)(struct cuda_device *d, const struct sampling_args *a);
    /* Multiply-adds of halves and plain reads a second. */
    cuda_status (*measure)(struct cuda_device *d, double *macs_per_s, double *read_bytes_per_s,
                           char text[CUDA_TEXT_BYTES]);
};

enum { CUDA_MARKS = 2048 };

/* What CUDA_PLUGIN_SYMBOL is. */
typedef const struct cuda_plugin *cuda_plugin_fn(void);

#endif
