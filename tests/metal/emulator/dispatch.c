#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checker.h"
#include "library.h"
#include "memory.h"
#include "worker.h"

enum {
    MAX_WORKERS = 16,
    GROUPS_EACH = 8,        /* threadgroups that a thread is worth being started for */
    SHARED_GAP = 64,        /* between threadgroup memories of two indices, for the checker */
};

static struct {
    enum emu_order order;
    enum emu_layout layout;
    uint64_t seed;
    uint32_t n_threads;
} settings = { .n_threads = 1, .seed = 1 };

static struct worker *workers[MAX_WORKERS];

void emu_set_order(enum emu_order order, uint64_t seed)
{
    settings.order = order;
    settings.seed = seed;
}

void emu_set_layout(enum emu_layout layout)
{
    settings.layout = layout;
}

void emu_set_threads(uint32_t n)
{
    settings.n_threads = n < 1 ? 1 : n > MAX_WORKERS ? MAX_WORKERS : n;
}

/* ---- before it runs ------------------------------------------------------------------------- */

static bool refuse(char *text, size_t n_text, const struct emu_dispatch *d, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static bool refuse(char *text, size_t n_text, const struct emu_dispatch *d, const char *format, ...)
{
    va_list list;
    const int n = snprintf(text, n_text, "%s: ", d->kernel->entry->name);
    va_start(list, format);
    if (n >= 0 && (size_t)n < n_text) vsnprintf(text + n, n_text - (size_t)n, format, list);
    va_end(list);
    return false;
}

static bool is_valid(const struct emu_dispatch *d, char *text, size_t n_text)
{
    const struct emu_entry *e = d->kernel->entry;
    uint64_t n_threads = 1, n_groups = 1, shared_bytes = 0;
    for (int i = 0; i < 3; i++) {
        n_threads *= d->n_threads[i];
        n_groups *= d->n_groups[i];
    }
    if (!n_threads || !n_groups) return refuse(text, n_text, d, "an empty grid");
    if (n_threads > emu_kernel_max_threads(d->kernel))
        return refuse(text, n_text, d, "%llu threads in a threadgroup, %u are possible",
                      (unsigned long long)n_threads, emu_kernel_max_threads(d->kernel));
    if (n_groups >= UINT32_MAX) return refuse(text, n_text, d, "too many threadgroups");
    for (int i = 0; i < EMU_MAX_BUFFERS; i++) {
        shared_bytes += d->shared_bytes[i];
        if (d->shared_bytes[i] % 16)
            return refuse(text, n_text, d, "threadgroup(%d): %u bytes, no multiple of 16", i,
                          d->shared_bytes[i]);
        if (e->shared >> i & 1 && !d->shared_bytes[i])
            return refuse(text, n_text, d, "threadgroup(%d) is taken and has no length", i);
    }
    if (shared_bytes > EMU_MAX_SHARED_BYTES)
        return refuse(text, n_text, d, "%llu bytes of threadgroup memory, %d are possible",
                      (unsigned long long)shared_bytes, EMU_MAX_SHARED_BYTES);
    for (int i = 0; d->kernel->part->constants && i < EMU_MAX_CONSTANTS; i++)
        if (d->constants_set >> i & 1 && !d->kernel->part->constants[i])
            return refuse(text, n_text, d, "function constant %d has a value and does not exist",
                          i);
    return true;
}

/* ---- running -------------------------------------------------------------------------------- */

struct job {
    const struct emu_dispatch *dispatch;
    void *buffer[EMU_MAX_BUFFERS];
    atomic_uint next, has_failed;
    uint32_t n_groups;
    uint32_t first_turn;        /* of shuffled groups */
};

/* One-to-one: which threadgroup is the i-th to run. */
static uint32_t group_at(const struct job *job, uint32_t i)
{
    if (settings.order == EMU_ASCENDING) return i;
    if (settings.order == EMU_DESCENDING) return job->n_groups - 1 - i;
    uint64_t stride = 0x9e3779b1u % job->n_groups;  /* the next that has no common divisor with n */
    for (;; stride++) {
        uint64_t a = stride, b = job->n_groups;
        while (b) {
            const uint64_t rest = a % b;
            a = b;
            b = rest;
        }
        if (a == 1) break;
    }
    return (uint32_t)((i * stride + job->first_turn) % job->n_groups);
}

/* element: where each lane's two begin. */
static void lay_out(struct worker *w)
{
    for (uint32_t t = 0; t < EMU_MAX_THREADS; t++) {
        const uint32_t lane = w->fibers[t].lane, quad = lane / 4;
        const uint32_t row = settings.layout == EMU_LAYOUT_APPLE ? (quad & 4) + lane / 2 % 4
                             : lane / 4;
        const uint32_t column = settings.layout == EMU_LAYOUT_APPLE ? (quad & 2) * 2 + lane % 2 * 2
                                                                    : lane % 4 * 2;
        w->fibers[t].element = row * 8 + column;
    }
}

static bool prepare(struct worker *w, struct job *job, void **shared)
{
    const struct emu_dispatch *d = job->dispatch;
    uint32_t at = 0, gap = 0;
    w->entry = d->kernel->entry;
    w->order = settings.order;
    w->random = (settings.seed + 1) * 0x9e3779b97f4a7c15u | 1;
    w->has_failed = false;
    w->group.buffer = job->buffer;
    w->group.shared = shared;
    w->group.n_in_group = d->n_threads[0] * d->n_threads[1] * d->n_threads[2];
    memcpy(w->group.n_groups, d->n_groups, sizeof d->n_groups);
    memcpy(w->group.n_threads, d->n_threads, sizeof d->n_threads);
    w->shared_bytes = 0;
    for (int i = 0; i < EMU_MAX_BUFFERS; i++) {
        w->shared_bytes += d->shared_bytes[i];
        gap += d->shared_bytes[i] ? SHARED_GAP : 0;
    }
    /* the last ends where the guard begins */
    for (int i = 0; i < EMU_MAX_BUFFERS; i++) {
        if (!d->shared_bytes[i]) continue;
        if (!at) at = WORKER_SHARED_BYTES - w->shared_bytes - gap + SHARED_GAP;
        shared[i] = w->shared + at;
        at += d->shared_bytes[i] + SHARED_GAP;
    }
    lay_out(w);
    const struct emu_library *l = d->kernel->library;
    w->checker = l->is_checked ? checker_open(d, w, l->image_low, l->image_high) : NULL;
    return w->checker || !l->is_checked;
}

static void run_groups(struct worker *w, struct job *job)
{
    const uint32_t *n = job->dispatch->n_groups;
    for (;;) {
        const uint32_t i = atomic_fetch_add_explicit(&job->next, 1, memory_order_relaxed);
        if (i >= job->n_groups || atomic_load_explicit(&job->has_failed, memory_order_relaxed))
            break;
        const uint32_t number = group_at(job, i);
        const uint32_t at[3] = { number % n[0], number / n[0] % n[1], number / n[0] / n[1] };
        if (w->checker) checker_begin_group(w->checker, number);
        if (!emu_worker_run(w, at))
            atomic_store_explicit(&job->has_failed, 1, memory_order_relaxed);
    }
}

struct task {
    struct worker *worker;
    struct job *job;
};

static void *run_task(void *context)
{
    const struct task *t = context;
    void *shared[EMU_MAX_BUFFERS] = { 0 };
    if (!memory_watch_thread() || !prepare(t->worker, t->job, shared)) {
        snprintf(t->worker->text, sizeof t->worker->text, "no memory to run it");
        t->worker->has_failed = true;
    } else {
        run_groups(t->worker, t->job);
    }
    checker_close(t->worker->checker);
    t->worker->checker = NULL;
    memory_unwatch_thread();
    return NULL;
}

static uint32_t worker_count(const struct job *job)
{
    if (job->dispatch->kernel->library->is_checked) return 1;
    const uint32_t worth = job->n_groups / GROUPS_EACH;
    return worth < 1 ? 1 : worth < settings.n_threads ? worth : settings.n_threads;
}

bool emu_run(const struct emu_dispatch *dispatch, char *text, size_t n_text)
{
    struct job job = { .dispatch = dispatch };
    struct task task[MAX_WORKERS];
    pthread_t thread[MAX_WORKERS];
    bool is_started[MAX_WORKERS] = { false };

    if (!is_valid(dispatch, text, n_text)) return false;
    job.n_groups = dispatch->n_groups[0] * dispatch->n_groups[1] * dispatch->n_groups[2];
    job.first_turn = (uint32_t)(settings.seed % job.n_groups);
    for (int i = 0; i < EMU_MAX_BUFFERS; i++)
        job.buffer[i] = dispatch->buffer[i].at ? dispatch->buffer[i].at : memory_unbound(i);
    const uint32_t n = worker_count(&job);
    for (uint32_t i = 0; i < n; i++) {
        if (!workers[i]) workers[i] = emu_worker_open();
        if (!workers[i]) return refuse(text, n_text, dispatch, "no memory to run it");
        workers[i]->has_failed = false;
        task[i] = (struct task){ workers[i], &job };
    }
    dispatch->kernel->part->set_constants(dispatch->constants_set, dispatch->constant);
    memory_watch(dispatch);
    for (uint32_t i = 1; i < n; i++)        /* one that cannot be started is not needed */
        is_started[i] = pthread_create(&thread[i], NULL, run_task, &task[i]) == 0;
    run_task(&task[0]);
    for (uint32_t i = 1; i < n; i++)
        if (is_started[i]) pthread_join(thread[i], NULL);
    memory_unwatch();
    for (uint32_t i = 0; i < n; i++) {
        if (!workers[i]->has_failed) continue;
        char what[1024];
        library_describe(dispatch->kernel->library, workers[i]->text, workers[i]->pc, what,
                         sizeof what);
        return refuse(text, n_text, dispatch, "%s", what);
    }
    return true;
}
