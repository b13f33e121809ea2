/* What this machine computes and reads with the backend's own sums: a double for each product. */
#include <stdlib.h>

#include "backend/exact/exact_internal.h"
#include "base/clock.h"
#include "base/cpu_isa.h"

enum {
    N_FLOATS_CACHED = 4096,
    N_FLOATS_FAR = 24 << 20 /* 1024 threads have their part */,
    N_ROUNDS = 5
};

struct probe {
    const float *from;
    uint32_t n_part, n_repeats;     /* floats of each thread, read so many times */
    double *sum;                    /* (n_threads) */
};

static void dot_part(void *arg, uint32_t id, uint32_t n_threads)
{
    struct probe *p = arg;
    const float *from = p->from + (size_t)id * p->n_part;
    (void)n_threads;
    for (uint32_t i = 0; i < p->n_repeats; i++) {
        p->sum[id] += exact_dot(from, from, p->n_part);
        __asm__ volatile("" ::: "memory");      /* each time anew */
    }
}

/* Products a second of all threads, in the best of some rounds. */
static double best_rate(struct thread_pool *pool, struct probe *p)
{
    double best = 0;
    for (int i = 0; i < N_ROUNDS; i++) {
        const uint64_t start_ns = clock_ns();
        thread_pool_run(pool, dot_part, p);
        const double n = (double)p->n_part * p->n_repeats * thread_pool_n(pool);
        const double rate = n / ((double)(clock_ns() - start_ns) * 1e-9);
        if (rate > best) best = rate;
    }
    return best;
}

pl_status exact_measure(uint32_t n_threads, struct backend_rates *out, pl_err *err)
{
    struct thread_pool *pool = NULL;
    if (!n_threads) n_threads = cpu_performance_cores();
    *out = (struct backend_rates){ .isa = backend_exact.name, .n_threads = n_threads };
    pl_status st = thread_pool_open(&pool, n_threads, err);
    if (st) return st;
    float *memory = malloc(N_FLOATS_FAR * sizeof *memory);
    double *sum = calloc(n_threads, sizeof *sum);
    if (!memory || !sum) {
        st = pl_fail(err, PL_E_MEMORY, "no %zu bytes to measure with",
                     N_FLOATS_FAR * sizeof *memory);
    } else {
        for (size_t i = 0; i < N_FLOATS_FAR; i++) memory[i] = 1;
        out->macs_per_s = best_rate(pool, &(struct probe){ memory, N_FLOATS_CACHED, 10000, sum });
        const uint32_t n_part = N_FLOATS_FAR / n_threads;
        out->read_bytes_per_s =
            sizeof *memory * best_rate(pool, &(struct probe){ memory, n_part, 1, sum });
    }
    free(memory);
    free(sum);
    thread_pool_close(pool);
    return st;
}
