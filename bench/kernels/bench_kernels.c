/* Every hot loop of a step, with the engine's own kernels, against what the machine can do: GMAC/s
 * and share of its int8 peak, GB/s and share of its plain read rate, both measured at the start.
 *
 * A figure is the best of several runs: the machine is rarely idle, and only its best is a property
 * of the code. More than 100 % of the read rate comes out of a cache, or the memory became faster
 * after the limit was measured (virtual machines share theirs). */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/cpu_isa.h"

bool bench_wants(const struct bench *b, const char *kernel)
{
    return !b->only || strstr(kernel, b->only);
}

double bench_time(const struct bench *b, thread_pool_fn *fn, void *arg)
{
    const uint64_t begin_ns = clock_ns(), min_ns = (uint64_t)b->min_ms * 1000000;
    double best = 1e9;

    for (int run = 0; run < 2 || clock_ns() - begin_ns < min_ns; run++) {
        const uint64_t start_ns = clock_ns();
        thread_pool_run(b->pool, fn, arg);
        const double s = (double)(clock_ns() - start_ns) * 1e-9;
        if (s < best) best = s;
    }
    return best;
}

void *bench_alloc(size_t n_bytes)
{
    const size_t large = (size_t)2 << 20, rounded = (n_bytes + large - 1) / large * large;
    void *memory = aligned_alloc(large, rounded);

    if (!memory) return NULL;
#ifdef MADV_HUGEPAGE
    madvise(memory, rounded, MADV_HUGEPAGE);
#endif
    return memset(memory, 0, rounded);
}

void bench_report(const struct bench *b, const struct bench_result *r)
{
    const double gmac = r->macs / r->s * 1e-9, gb = r->bytes / r->s * 1e-9;
    const double limit = r->is_wide ? b->limit.matrix_macs_per_s : b->limit.macs_per_s;
    const double mac_share = 100 * r->macs / r->s / limit;
    const double read_share = 100 * r->bytes / r->s / b->limit.read_bytes_per_s;

    if (b->json) {
        printf("{\"kernel\": \"%s\", \"isa\": \"%s\", \"threads\": %u, \"place\": \"%s\", "
               "\"n_k\": %u, \"columns\": %u, \"us\": %.3f, \"gmac_per_s\": %.2f, "
               "\"mac_share\": %.4f, \"gb_per_s\": %.2f, \"read_share\": %.4f}\n",
               r->kernel, b->kernels->isa, thread_pool_n(b->pool), r->place, r->n_k, r->n_cols,
               r->s * 1e6, gmac, mac_share / 100, gb, read_share / 100);
        return;
    }
    printf("%-16s %-7s %6u %4u  %10.1f us", r->kernel, r->place, r->n_k, r->n_cols, r->s * 1e6);
    if (r->macs > 0) printf("  %7.1f GMAC/s %5.1f %%", gmac, mac_share);
    else printf("  %22s", "");
    printf("  %6.1f GB/s %6.1f %%\n", gb, read_share);
}

static void print_head(const struct bench *b)
{
    char name[96];

    if (b->json) return;
    cpu_name_read(name, sizeof name);
    printf("%s, %s, %u threads\n", name, b->kernels->isa, b->limit.n_threads);
    printf("limits measured now: %.0f GMAC/s int8 by vectors, %.0f by a matrix unit, %.1f GB/s "
           "read\n\n", b->limit.macs_per_s * 1e-9, b->limit.matrix_macs_per_s * 1e-9,
           b->limit.read_bytes_per_s * 1e-9);
    printf("%-16s %-7s %6s %4s  %13s  %14s %7s  %11s %8s\n", "kernel", "from", "k", "cols", "a run",
           "", "of peak", "", "of read");
}

static int usage(void)
{
    fprintf(stderr,
            "usage: bench_kernels [--threads N] [--isa NAME] [--only TEXT] [--k N] [--mib N] "
            "[--ms N] [--json]\n"
            "  --threads  0: one per performance core (default)\n"
            "  --isa      most capable instruction set to use: scalar, avx2, ...\n"
            "  --only     kernels whose name contains this, as \"Q4_K\"\n"
            "  --k        row length of the products, a multiple of 256 up to 65536 (1536)\n"
            "  --mib      panels that are to come from memory, up to 16384 (128)\n"
            "  --ms       least time a figure, up to 10000 (50)\n"
            "  --json     one JSON object a line\n");
    return 2;
}

/* A number of 0 .. max; false: not one. */
static bool parse_number(const char *text, uint32_t max, uint32_t *out)
{
    char *end;
    const unsigned long long n = strtoull(text, &end, 10);

    *out = (uint32_t)n;
    return *text >= '0' && *text <= '9' && !*end && n <= max;
}

static bool parse(struct bench *b, int argc, char **argv, const char **isa, uint32_t *n_threads)
{
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(name, "--json")) {
            b->json = true;
            continue;
        }
        if (!value) return false;
        i++;
        if (!strcmp(name, "--isa")) *isa = value;
        else if (!strcmp(name, "--only")) b->only = value;
        else if (!strcmp(name, "--threads") && parse_number(value, 1024, n_threads)) continue;
        else if (!strcmp(name, "--ms") && parse_number(value, 10000, &b->min_ms)) continue;
        else if (!strcmp(name, "--mib") && parse_number(value, 16384, &b->memory_mib)) continue;
        else if (!strcmp(name, "--k") && parse_number(value, 65536, &b->n_k)) continue;
        else return false;
    }
    return b->n_k && b->n_k % 256 == 0;
}

int main(int argc, char **argv)
{
    struct cpu_kernels kernels;
    struct bench b = { .kernels = &kernels, .n_k = 1536, .memory_mib = 128,
                       .min_ms = 50 };
    const char *isa = NULL;
    uint32_t n_threads = 0;
    pl_err err;

    if (!parse(&b, argc, argv, &isa, &n_threads)) return usage();
    if (!cpu_kernels_get(&kernels, isa)) {
        fprintf(stderr, "no instruction set \"%s\" on this architecture\n", isa);
        return 2;
    }
    if (!n_threads) n_threads = cpu_performance_cores();
    if (cpu_measure(n_threads, &b.limit, &err) || thread_pool_open(&b.pool, n_threads, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    print_head(&b);
    const bool ok = bench_products(&b) && bench_columns(&b);
    if (!ok) fprintf(stderr, "out of memory\n");
    thread_pool_close(b.pool);
    return ok ? 0 : 1;
}
