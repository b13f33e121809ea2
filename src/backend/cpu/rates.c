#include "backend/cpu/rates.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/cpu_isa.h"
#include "base/thread_pool.h"

enum { N_REPEATS = 5 };
static const size_t read_bytes = (size_t)192 << 20;     /* far beyond any cache */

uint64_t rate_dot_scalar(uint64_t n_rounds)
{
    int32_t sum[8] = { 0 };
    int8_t a[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, b[8] = { 8, 7, 6, 5, 4, 3, 2, 1 };
    for (uint64_t r = 0; r < n_rounds; r++) {
        __asm__ volatile("" : "+m"(a), "+m"(b));
        for (int i = 0; i < 8; i++) sum[i] += a[i] * b[i];
    }
    __asm__ volatile("" ::"m"(sum));
    return n_rounds * 8;
}

uint64_t rate_read_scalar(const uint8_t *from, size_t n_bytes)
{
    uint64_t sum[4] = { 0 };
    for (size_t i = 0; i < n_bytes; i += 32)
        for (int j = 0; j < 4; j++) {
            uint64_t x;
            memcpy(&x, from + i + (size_t)j * 8, 8);
            sum[j] ^= x;
        }
    return sum[0] ^ sum[1] ^ sum[2] ^ sum[3];
}

struct probe {
    rate_dot_fn *dot;
    rate_read_fn *read;
    uint64_t n_rounds;
    const uint8_t *from;
    size_t part_bytes;
    uint64_t *result;           /* (n_threads) */
};

static void dot_part(void *arg, uint32_t id, uint32_t n_threads)
{
    struct probe *p = arg;
    (void)n_threads;
    p->result[id] = p->dot(p->n_rounds);
}

static void read_part(void *arg, uint32_t id, uint32_t n_threads)
{
    struct probe *p = arg;
    (void)n_threads;
    p->result[id] = p->read(p->from + (size_t)id * p->part_bytes, p->part_bytes);
}

/* The caller is pinned meanwhile: two members on one core would measure half a machine. */
static double best_s(struct thread_pool *pool, thread_pool_fn *fn, struct probe *p)
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

static const char *choose(struct probe *p)
{
    p->dot = rate_dot_scalar;
    p->read = rate_read_scalar;
#if defined(__x86_64__)
    const struct cpu_isa isa = cpu_isa_read();
    const char *name = "scalar";
    if (isa.avx2) p->dot = rate_dot_avx2, p->read = rate_read_avx2, name = "avx2";
    if (isa.avxvnni) p->dot = rate_dot_avxvnni, name = "avxvnni";
    if (isa.avx512vnni) p->dot = rate_dot_avx512, p->read = rate_read_avx512, name = "avx512vnni";
    return name;
#elif defined(__aarch64__)
    if (cpu_isa_read().neon) {
        const bool has_i8mm = cpu_isa_read().i8mm;
        p->dot = has_i8mm ? rate_dot_i8mm : rate_dot_neon;
        p->read = rate_read_neon;
        return has_i8mm ? "i8mm" : "neon";
    }
#endif
    return "scalar";
}

pl_status cpu_measure(uint32_t n_threads, struct backend_rates *out, pl_err *err)
{
    struct thread_pool *pool = NULL;
    struct probe p = { .n_rounds = 1 << 20 };
    if (!n_threads) n_threads = cpu_performance_cores();
    *out = (struct backend_rates){ .isa = choose(&p), .n_threads = n_threads };

    pl_status st = thread_pool_open(&pool, n_threads, err);
    if (st) return st;
    p.result = calloc(n_threads, sizeof *p.result);
    void *memory = mmap(NULL, read_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                        0);
    if (!p.result || memory == MAP_FAILED) {
        st = pl_fail(err, PL_E_MEMORY, "no %zu bytes to measure the read rate with", read_bytes);
    } else {
#ifdef MADV_HUGEPAGE
        madvise(memory, read_bytes, MADV_HUGEPAGE);
#endif
        memset(memory, 1, read_bytes);
        p.from = memory;
        p.part_bytes = read_bytes / n_threads / 256 * 256;
        const double read_s = best_s(pool, read_part, &p);
        out->read_bytes_per_s = (double)p.part_bytes * n_threads / read_s;
        const double dot_s = best_s(pool, dot_part, &p);
        for (uint32_t i = 0; i < n_threads; i++)
            out->macs_per_s += (double)p.result[i] / dot_s;
    }
    if (memory != MAP_FAILED) munmap(memory, read_bytes);
    free(p.result);
    thread_pool_close(pool);
    return st;
}
