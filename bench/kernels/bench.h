/* Shared by the parts of bench_kernels: what is measured with, and one line of result. */
#ifndef BENCH_KERNELS_BENCH_H
#define BENCH_KERNELS_BENCH_H

#include "backend/cpu/kernels.h"
#include "backend/cpu/rates.h"
#include "base/thread_pool.h"

struct bench {
    const struct cpu_kernels *kernels;
    struct thread_pool *pool;
    struct backend_rates limit;     /* of the machine, with this pool's number of threads */
    const char *only;               /* part of the name of what to measure; NULL: all */
    uint32_t n_k;                   /* row length of the products */
    uint32_t memory_mib;            /* of panels, where they are to come from memory */
    uint32_t min_ms;                /* a figure is the best of runs over this long, at least two */
    bool json;                      /* one JSON object a line */
};

struct bench_result {
    const char *kernel;             /* "product Q4_K" */
    const char *place;              /* "cache" or "memory": where the operands come from */
    uint32_t n_k, n_cols;
    bool is_wide;                   /* by the matrix unit, whose limit it is a share of */
    double macs, bytes, s;          /* done, read, taken by one run; macs 0: not a product */
};

/* Whether `only` lets this kernel through. */
bool bench_wants(const struct bench *b, const char *kernel);

/* Seconds of the fastest run. */
double bench_time(const struct bench *b, thread_pool_fn *fn, void *arg);

void bench_report(const struct bench *b, const struct bench_result *r);

/* 2 MB aligned, zeroed, in large pages where the system has them; NULL: no memory. Release with
 * free. */
void *bench_alloc(size_t n_bytes);

/* Each returns false where memory ran out. */
bool bench_products(const struct bench *b);
bool bench_columns(const struct bench *b);

#endif
