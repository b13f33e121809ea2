/* What happens to a column between products: quantising, normalising, gating, adding, and attention
 * over KV pages in random order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "backend/cpu/attend.h"
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

/* N_LAYERS KV heads of N_STREAMS streams, in random order of pages: each stream with pages of its
 * own, or all with the same ones. */
struct attend_bench {
    const struct cpu_kernels *kernels;
    struct kv_layout layout;
    uint32_t context, n_pages;
    bool is_shared;
    uint8_t *kv;                /* (n_pages, N_LAYERS) of layout.n_bytes */
    uint32_t *page;             /* (N_STREAMS, MAX_CONTEXT / PAGE_TOKENS) */
    float *q, *out;             /* (N_STREAMS, N_GROUP * D_HEAD) */
    struct attend_state *state; /* (n_threads, MAX_JOB_ROWS) */
};

static void add_stream(const struct attend_bench *a, struct attend_job *job, uint32_t s)
{
    const size_t ld = N_GROUP * D_HEAD;
    job->part[job->n_parts++] = (struct attend_part){
        .page = a->page + (a->is_shared ? 0 : s * (MAX_CONTEXT / PAGE_TOKENS)),
        .first_pos = a->context - 1, .n_cols = 1, .q = a->q + s * ld, .out = a->out + s * ld,
    };
}

static void run_attend(void *arg, uint32_t id, uint32_t n_threads)
{
    const struct attend_bench *a = arg;
    const size_t head_bytes = a->layout.n_bytes;
    struct attend_runner runner = attend_begin(a->kernels, a->state + id * MAX_JOB_ROWS);

    for (uint32_t layer = 0; layer < N_LAYERS; layer++) {
        struct attend_job job = {
            .layout = &a->layout, .kv = a->kv + layer * head_bytes,
            .page_stride = N_LAYERS * head_bytes, .ld = N_GROUP * D_HEAD, .n_heads = N_GROUP,
            .n_shared = a->is_shared ? (a->context - 1) / PAGE_TOKENS / 2 * 2 : 0,
        };
        for (uint32_t s = N_STREAMS * id / n_threads; s < N_STREAMS * (id + 1) / n_threads; s++) {
            add_stream(a, &job, s);
            if (a->is_shared) continue;
            attend_run(&runner, &job);
            job.n_parts = 0;
        }
        if (job.n_parts) attend_run(&runner, &job);
    }
    attend_end(&runner);
}

/* Random KV through kv_write and a random permutation of pages. */
static void fill_attention(struct attend_bench *a, struct rng *r)
{
    const size_t head_bytes = a->layout.n_bytes;
    float k[D_HEAD], v[D_HEAD];

    for (size_t h = 0; h < (size_t)a->n_pages * N_LAYERS; h++) {
        if (h % 64 == 0)
            for (uint32_t at = 0; at < PAGE_TOKENS; at++) {
                for (int i = 0; i < D_HEAD; i++) {
                    k[i] = (float)rng_unit(r) - 0.5f;
                    v[i] = (float)rng_unit(r) - 0.5f;
                }
                a->kernels->kv_write(a->kv + h * head_bytes, &a->layout, at, k, v);
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

static bool take_attention(struct attend_bench *a, uint32_t n_threads)
{
    const size_t q_bytes = N_STREAMS * N_GROUP * D_HEAD * sizeof(float);
    a->n_pages = N_STREAMS * MAX_CONTEXT / PAGE_TOKENS;
    a->kv = bench_alloc((size_t)a->n_pages * N_LAYERS * a->layout.n_bytes);
    a->page = bench_alloc(a->n_pages * sizeof *a->page);
    a->q = bench_alloc(q_bytes);
    a->out = bench_alloc(q_bytes);
    a->state = bench_alloc(n_threads * MAX_JOB_ROWS * sizeof *a->state);
    return a->kv && a->page && a->q && a->out && a->state;
}

static void free_attention(struct attend_bench *a)
{
    free(a->kv);
    free(a->page);
    free(a->q);
    free(a->out);
    free(a->state);
}

static bool measure_attention(const struct bench *b, enum kv_type type, const char *name)
{
    static const struct {
        uint32_t context;
        bool is_shared;
        const char *place;
    } cases[] = { { 160, false, "memory" }, { MAX_CONTEXT, false, "memory" },
                  { MAX_CONTEXT, true, "shared" } };
    struct attend_bench a = { .kernels = b->kernels, .layout = kv_layout_of(D_HEAD, type, type) };
    const bool ok = take_attention(&a, thread_pool_n(b->pool));
    struct rng r;

    rng_seed(&r, 3);
    if (ok) fill_attention(&a, &r);
    for (size_t i = 0; ok && i < sizeof cases / sizeof *cases; i++) {
        a.context = cases[i].context;
        a.is_shared = cases[i].is_shared;
        const double tokens = (double)a.context * (a.is_shared ? 1 : N_STREAMS);
        const struct bench_result result = {
            .kernel = name, .place = cases[i].place, .n_k = a.context, .n_cols = N_STREAMS,
            .bytes = N_LAYERS * tokens * a.layout.n_bytes / PAGE_TOKENS,
            .s = bench_time(b, run_attend, &a),
        };
        bench_report(b, &result);
    }
    free_attention(&a);
    return ok;
}

bool bench_columns(const struct bench *b)
{
    if (!measure_columns(b, 1536) || !measure_columns(b, 8960)) return false;
    for (int type = 0; type < N_KV_TYPES; type++) {
        char name[32];
        snprintf(name, sizeof name, "attend %s", kv_type_name((enum kv_type)type));
        if (bench_wants(b, name) && !measure_attention(b, (enum kv_type)type, name)) return false;
    }
    return true;
}
