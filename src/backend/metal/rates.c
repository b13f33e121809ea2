#include "backend/metal/rates.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/metal/device.h"
#include "backend/metal/op_args.h"
#include "backend/metal/source.h"
#include "base/clock.h"
#include "base/cpu_isa.h"

enum { ROUNDS = 5, HAND_OVERS = 21, BARRIERS = 100 };
enum { READ_THREADS = 256, MULTIPLY_SIMDGROUPS = 4, MACS_A_TURN = 4 * 512 };

/* How much work a dispatch is: enough for a fast GPU, bounded for one that is emulated. */
struct size {
    uint32_t read_groups, read_words, multiply_groups, multiply_turns;
};

static struct size size_for(const struct metal_facts *facts)
{
    if (facts->is_emulated) return (struct size){ 4, 1024, 1, 8 };
    return (struct size){ 2048, 16384, 2048, 1024 };    /* 512 MiB; 17 G multiply-adds */
}

/* The shortest of some rounds, by the GPU's clock. */
static pl_status best_ns(struct metal_device *d, const struct metal_dispatch *what, uint64_t *best,
                         pl_err *err)
{
    *best = UINT64_MAX;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t ns;
        metal_begin(d);
        metal_dispatch(d, what);
        metal_commit(d);
        const pl_status st = metal_wait(d, &ns, err);
        if (st) return st;
        if (ns < *best) *best = ns;
    }
    if (*best) return PL_OK;
    return pl_fail(err, PL_E_INTERNAL, "%s: the GPU told no times", metal_device_facts(d)->name);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of what one threadgroup's work takes by the host's clock; and what each of many
 * dispatches takes by the GPU's that wait for the one before. */
static pl_status measure_waits(struct metal_device *d, const struct metal_dispatch *little,
                               struct backend_rates *out, pl_err *err)
{
    const bool is_emulated = metal_device_facts(d)->is_emulated;
    const int n_hand_overs = is_emulated ? 5 : HAND_OVERS, n_barriers = is_emulated ? 5 : BARRIERS;
    double s[HAND_OVERS];
    uint64_t ns;
    for (int i = 0; i < n_hand_overs; i++) {
        const uint64_t start_ns = clock_ns();
        metal_begin(d);
        metal_dispatch(d, little);
        metal_commit(d);
        const pl_status st = metal_wait(d, NULL, err);
        if (st) return st;
        s[i] = (double)(clock_ns() - start_ns) * 1e-9;
    }
    qsort(s, (size_t)n_hand_overs, sizeof *s, by_size);
    out->hand_over_s = s[n_hand_overs / 2];
    metal_begin(d);
    for (int i = 0; i < n_barriers; i++) {
        metal_dispatch(d, little);
        metal_barrier(d);
    }
    metal_commit(d);
    const pl_status st = metal_wait(d, &ns, err);
    out->barrier_s = (double)ns * 1e-9 / n_barriers;
    return st;
}

static pl_status measure_on(struct metal_device *d, struct backend_rates *out, pl_err *err)
{
    const struct size size = size_for(metal_device_facts(d));
    const uint64_t read_bytes = (uint64_t)size.read_groups * size.read_words * 16;
    const uint64_t n_turns = (uint64_t)size.multiply_groups * MULTIPLY_SIMDGROUPS *
                             size.multiply_turns;
    const uint64_t out_read = (uint64_t)size.read_groups * READ_THREADS * 4;
    const uint64_t out_multiply = (uint64_t)size.multiply_groups * MULTIPLY_SIMDGROUPS * 1024;
    struct metal_buffer from, to;
    struct metal_pipeline *read, *multiply;
    uint64_t ns;

    pl_status st = metal_buffer_take(d, read_bytes, "a measurement", &from, err);
    if (!st)
        st = metal_buffer_take(d, out_read > out_multiply ? out_read : out_multiply,
                               "a measurement", &to, err);
    if (!st) st = metal_device_settle(d, err);
    if (!st) st = metal_pipeline_get(d, "rate_read", NULL, 0, &read, err);
    if (!st) st = metal_pipeline_get(d, "rate_multiply", NULL, 0, &multiply, err);
    if (st) return st;

    const struct rate_args read_args = { size.read_words }, turns = { size.multiply_turns };
    struct metal_dispatch what = {
        .pipeline = read,
        .buffer = { { &from, 0 }, { &to, 0 } },
        .n_buffers = 2,
        .args = &read_args,
        .args_bytes = sizeof read_args,
        .n_groups = { size.read_groups, 1, 1 },
        .n_threads = READ_THREADS,
    };
    st = best_ns(d, &what, &ns, err);
    if (st) return st;
    out->read_bytes_per_s = (double)read_bytes * 1e9 / (double)ns;
    what.pipeline = multiply;
    what.args = &turns;
    what.n_groups[0] = size.multiply_groups;
    what.n_threads = 32 * MULTIPLY_SIMDGROUPS;
    st = best_ns(d, &what, &ns, err);
    if (st) return st;
    out->macs_per_s = (double)n_turns * MACS_A_TURN * 1e9 / (double)ns;
    const struct rate_args word = { 1 };
    what.pipeline = read;
    what.args = &word;
    what.n_groups[0] = 1;
    what.n_threads = READ_THREADS;
    return measure_waits(d, &what, out, err);
}

pl_status metal_measure(uint32_t n_threads, struct backend_rates *out, pl_err *err)
{
    static char name[64];
    struct metal_device *d = NULL;
    *out = (struct backend_rates){
        .n_threads = n_threads ? n_threads : cpu_performance_cores(), .isa = name,
    };
    pl_status st = metal_device_open(&d, metal_source, NULL, NULL, err);
    if (st) return st;
    snprintf(name, sizeof name, "%s", metal_device_facts(d)->name);
    st = measure_on(d, out, err);
    metal_device_close(d);
    return st;
}
