#include "backend/cpu/rates.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "backend/cpu/kernels.h"
#include "base/clock.h"
#include "base/cpu_cache.h"
#include "base/cpu_isa.h"
#include "base/memory_available.h"
#include "base/thread_pool.h"

enum { N_REPEATS = 5, N_BARRIERS = 200 };

/* What is read: far more than the last-level caches hold, which may be larger than a small model's
 * weights; but not so much that what the machine has left is not enough. */
static size_t bytes_to_read(void)
{
    const uint64_t least = (uint64_t)192 << 20, most = memory_available() / 4;
    const uint64_t wanted = 3 * cpu_last_cache_bytes("");
    return (size_t)(wanted < least || most < least ? least : wanted < most ? wanted : most);
}

struct probe {
    rate_dot_fn *dot;           /* by whatever unit */
    rate_read_fn *read;
    uint64_t n_rounds;
    uint8_t *memory;            /* (n_threads, part_bytes) */
    size_t part_bytes;
    uint64_t *result;           /* (n_threads) */
};

static void dot_part(void *arg, uint32_t id, uint32_t n_threads)
{
    struct probe *p = arg;
    (void)n_threads;
    p->result[id] = p->dot(p->n_rounds);
}

static void touch_part(void *arg, uint32_t id, uint32_t n_threads)
{
    const struct probe *p = arg;
    (void)n_threads;
    memset(p->memory + (size_t)id * p->part_bytes, 1, p->part_bytes);
}

static void read_part(void *arg, uint32_t id, uint32_t n_threads)
{
    struct probe *p = arg;
    (void)n_threads;
    p->result[id] = p->read(p->memory + (size_t)id * p->part_bytes, p->part_bytes);
}

static void pass(void *arg, uint32_t id, uint32_t n_threads)
{
    (void)arg, (void)id, (void)n_threads;
}

struct waiting {
    struct thread_pool *pool;
};

static void wait_often(void *arg, uint32_t id, uint32_t n_threads)
{
    const struct waiting *w = arg;
    (void)n_threads;
    for (int i = 0; i < N_BARRIERS; i++) thread_pool_barrier(w->pool, id);
}

/* The caller is pinned meanwhile: two members on one core would measure half a machine. */
static double best_s(struct thread_pool *pool, thread_pool_fn *fn, void *p)
{
    double best = 1e9;
    thread_pool_pin_caller(pool);
    for (int i = 0; i < N_REPEATS; i++) {
        const uint64_t start_ns = clock_ns();
        thread_pool_run(pool, fn, p);
        const double s = (double)(clock_ns() - start_ns) * 1e-9;
        if (s < best) best = s;
    }
    thread_pool_unpin_caller(pool);
    return best;
}

static double macs_per_s(struct thread_pool *pool, struct probe *p, rate_dot_fn *dot)
{
    double macs = 0;
    if (!dot) return 0;
    p->dot = dot;
    const double dot_s = best_s(pool, dot_part, p);
    for (uint32_t i = 0; i < thread_pool_n(pool); i++) macs += (double)p->result[i];
    return macs / dot_s;
}

pl_status cpu_measure(uint32_t n_threads, struct backend_rates *out, pl_err *err)
{
    struct thread_pool *pool = NULL;
    struct cpu_kernels k;
    cpu_kernels_get(&k, NULL);
    struct probe p = { .read = k.rate_read, .n_rounds = 1 << 20 };
    const size_t n_bytes = bytes_to_read();
    if (!n_threads) n_threads = cpu_performance_cores();
    *out = (struct backend_rates){ .isa = k.isa, .n_threads = n_threads };

    pl_status st = thread_pool_open(&pool, n_threads, err);
    if (st) return st;
    p.result = calloc(n_threads, sizeof *p.result);
    void *memory = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!p.result || memory == MAP_FAILED) {
        st = pl_fail(err, PL_E_MEMORY, "no %zu bytes to measure the read rate with", n_bytes);
    } else {
#ifdef MADV_HUGEPAGE
        madvise(memory, n_bytes, MADV_HUGEPAGE);
#endif
        p.memory = memory;
        p.part_bytes = n_bytes / n_threads / 256 * 256;
        thread_pool_run(pool, touch_part, &p);
        out->read_bytes_per_s = (double)p.part_bytes * n_threads / best_s(pool, read_part, &p);
        out->macs_per_s = macs_per_s(pool, &p, k.rate_dot);
        out->matrix_macs_per_s = macs_per_s(pool, &p, k.rate_matrix);
        out->hand_over_s = best_s(pool, pass, NULL);
        out->barrier_s = best_s(pool, wait_often, &(struct waiting){ pool }) / N_BARRIERS;
    }
    if (memory != MAP_FAILED) munmap(memory, n_bytes);
    free(p.result);
    thread_pool_close(pool);
    return st;
}
