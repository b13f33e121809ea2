/* What happens to a column between products: quantising, normalising, gating, adding, and attention
 * over 16-bit KV pages in random order. */
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "bench.h"

enum { N_COLS = 20, N_ROUNDS = 32 };

struct column_job {
    const struct cpu_kernels *kernels;
    int what;                   /* index into names */
    uint32_t n;                 /* values a column */
    float *x, *y, *out;         /* (N_COLS, n) */
    void *act;
};

static const char *const names[] = { "quantise x256", "quantise x32", "rms_norm", "gate silu",
                                     "add" };

static void one_column(const struct column_job *j, uint32_t c)
{
    const struct cpu_kernels *k = j->kernels;
    float *x = j->x + (size_t)c * j->n, *y = j->y + (size_t)c * j->n;
    float *out = j->out + (size_t)c * j->n;

    switch (j->what) {
    case 0: k->quantise_x256(x, j->n, (struct act_x256 *)j->act + c, NULL, N_COLS); break;
    case 1: k->quantise_x32(x, j->n, (struct act_x32 *)j->act + c, N_COLS); break;
    case 2: k->rms_norm(x, y, j->n, 1e-6f, out); break;
    case 3: k->gate(x, y, j->n, ACTIVATION_SILU, out); break;
    default: k->add(out, y, j->n);
    }
}

static void run_columns(void *arg, uint32_t id, uint32_t n_threads)
{
    const struct column_job *j = arg;

    for (int round = 0; round < N_ROUNDS; round++)
        for (uint32_t c = N_COLS * id / n_threads; c < N_COLS * (id + 1) / n_threads; c++)
            one_column(j, c);
}

static bool measure_columns(const struct bench *b, uint32_t n)
{
    const size_t n_bytes = (size_t)N_COLS * n * sizeof(float);
    struct column_job j = { .kernels = b->kernels, .n = n };
    struct rng r;

    rng_seed(&r, 2);
    j.x = bench_alloc(n_bytes);
    j.y = bench_alloc(n_bytes);
    j.out = bench_alloc(n_bytes);
    j.act = bench_alloc((size_t)n / 32 * N_COLS * sizeof(struct act_x32));
    const bool ok = j.x && j.y && j.out && j.act;
    for (size_t i = 0; ok && i < (size_t)N_COLS * n; i++) {
        j.x[i] = (float)rng_unit(&r) - 0.5f;
        j.y[i] = (float)rng_unit(&r) - 0.5f;
    }
    for (j.what = 0; ok && j.what < (int)(sizeof names / sizeof *names); j.what++) {
        if (!bench_wants(b, names[j.what])) continue;
        const struct bench_result result = {
            .kernel = names[j.what], .place = "cache", .n_k = n, .n_cols = N_COLS,
            .bytes = (double)n_bytes * N_ROUNDS * (j.what < 2 ? 1 : 2),
            .s = bench_time(b, run_columns, &j),
        };
        bench_report(b, &result);
    }
    free(j.x);
    free(j.y);
    free(j.out);
    free(j.act);
    return ok;
}

/* ---- attention ------------------------------------------------------------------------------ */

enum { N_STREAMS = 20, D_HEAD = 128, N_GROUP = 6, MAX_CONTEXT = 1024, N_LAYERS = 8 };

/* N_LAYERS KV heads of N_STREAMS streams, each stream with pages of its own in random order. */
struct attend_bench {
    const struct cpu_kernels *kernels;
    uint32_t context, n_pages;
    uint8_t *kv;                /* (n_pages, N_LAYERS) of kv_head_bytes */
    uint32_t *page;             /* (N_STREAMS, MAX_CONTEXT / PAGE_TOKENS) */
    float *q, *out;             /* (N_STREAMS, N_GROUP * D_HEAD) */
};

static void run_attend(void *arg, uint32_t id, uint32_t n_threads)
{
    const struct attend_bench *a = arg;
    const size_t head_bytes = kv_head_bytes(D_HEAD), ld = N_GROUP * D_HEAD;

    for (uint32_t layer = 0; layer < N_LAYERS; layer++)
        for (uint32_t s = N_STREAMS * id / n_threads; s < N_STREAMS * (id + 1) / n_threads; s++) {
            const struct attend_job job = {
                .d_head = D_HEAD, .n_group = N_GROUP, .n_cols = 1, .first_pos = a->context - 1,
                .kv = a->kv + layer * head_bytes, .page_stride = N_LAYERS * head_bytes,
                .page = a->page + s * (MAX_CONTEXT / PAGE_TOKENS), .q = a->q + s * ld,
                .out = a->out + s * ld, .ld_q = ld, .ld_out = ld,
            };
            a->kernels->attend(&job);
        }
}

/* Random KV through kv_write and a random permutation of pages. */
static void fill_attention(struct attend_bench *a, struct rng *r)
{
    const size_t head_bytes = kv_head_bytes(D_HEAD);
    float k[D_HEAD], v[D_HEAD];

    for (size_t h = 0; h < (size_t)a->n_pages * N_LAYERS; h++) {
        if (h % 64 == 0)
            for (uint32_t at = 0; at < PAGE_TOKENS; at++) {
                for (int i = 0; i < D_HEAD; i++) {
                    k[i] = (float)rng_unit(r) - 0.5f;
                    v[i] = (float)rng_unit(r) - 0.5f;
                }
                a->kernels->kv_write(a->kv + h * head_bytes, D_HEAD, at, k, v);
            }
        else memcpy(a->kv + h * head_bytes, a->kv + (h - h % 64) * head_bytes, head_bytes);
    }
    for (uint32_t p = 0; p < a->n_pages; p++) {
        const uint32_t other = (uint32_t)rng_below(r, p + 1);
        a->page[p] = a->page[other];
        a->page[other] = p;
    }
    for (int i = 0; i < N_STREAMS * N_GROUP * D_HEAD; i++) a->q[i] = (float)rng_unit(r) - 0.5f;
}

static bool measure_attention(const struct bench *b)
{
    static const uint32_t contexts[] = { 160, MAX_CONTEXT };
    struct attend_bench a = { .kernels = b->kernels,
                              .n_pages = N_STREAMS * MAX_CONTEXT / PAGE_TOKENS };
    const size_t q_bytes = N_STREAMS * N_GROUP * D_HEAD * sizeof(float);
    struct rng r;

    rng_seed(&r, 3);
    a.kv = bench_alloc((size_t)a.n_pages * N_LAYERS * kv_head_bytes(D_HEAD));
    a.page = bench_alloc(a.n_pages * sizeof *a.page);
    a.q = bench_alloc(q_bytes);
    a.out = bench_alloc(q_bytes);
    const bool ok = a.kv && a.page && a.q && a.out;
    if (ok) fill_attention(&a, &r);
    for (size_t i = 0; ok && i < sizeof contexts / sizeof *contexts; i++) {
        a.context = contexts[i];
        const double values = (double)N_LAYERS * N_STREAMS * a.context * D_HEAD * 2;
        const struct bench_result result = {
            .kernel = "attend f16", .place = "memory", .n_k = a.context, .n_cols = N_STREAMS,
            .bytes = values * 2, .s = bench_time(b, run_attend, &a),
        };
        bench_report(b, &result);
    }
    free(a.kv);
    free(a.page);
    free(a.q);
    free(a.out);
    return ok;
}

bool bench_columns(const struct bench *b)
{
    if (!measure_columns(b, 1536) || !measure_columns(b, 8960)) return false;
    return !bench_wants(b, "attend f16") || measure_attention(b);
}
