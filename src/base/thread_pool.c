/* How a run goes:
 *
 *   caller                              member
 *   writes fn, arg                      spins, then parks, until `round` moves
 *   round += 1 (release)    ────────►   sees it (acquire), runs fn
 *   runs fn as member 0                 n_done += 1 (release)
 *   waits for n_done (acquire) ◄──────
 *
 * The barrier inside fn has a gate for every GATE_MEMBERS members; the last of them to arrive goes
 * on to a gate of the gates. So a line that cores write and wait for is shared by a few of them,
 * and a team of up to GATE_MEMBERS has one gate. A gate counts arrivals and opens by moving its
 * `generation` (release), which the others wait for (acquire). Every wait spins a bounded number of
 * rounds and then gives up its time slice between looks, so that more threads than cores still make
 * progress; a member waiting for the next run parks on a condition variable instead. */
#include "base/thread_pool.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#if defined(__APPLE__)
#include <pthread/qos.h>
#endif

#include "base/cpu_isa.h"

enum {
    CACHE_LINE = 128,           /* two lines of 64: neighbours are fetched in pairs */
    SPINS_BEFORE_YIELD = 4000,  /* some tens of microseconds: more than one operation's imbalance */
    SPINS_BEFORE_PARK = 20000,  /* about 0.2 ms: longer than the gap between two steps */
    MAX_THREADS = 1024,
    GATE_MEMBERS = 8,
};

struct member {
    struct thread_pool *pool;
    uint32_t id;
    pthread_t thread;
};

struct gate {
    _Alignas(CACHE_LINE) atomic_uint n_arrived;
    _Alignas(CACHE_LINE) atomic_uint generation;
};

struct thread_pool {
    uint32_t n_threads, n_started, n_gates;
    bool is_pinned;
    struct member *member;      /* (n_threads); [0] is the caller and has no thread */
    struct gate *gate;          /* (n_gates) of members, and one of these gates */

    thread_pool_fn *fn;         /* written before `round` moves, read after */
    void *arg;

    _Alignas(CACHE_LINE) atomic_uint round;
    _Alignas(CACHE_LINE) atomic_uint n_done;
    _Alignas(CACHE_LINE) atomic_uint n_parked;
    atomic_bool is_closing;     /* read after `round` (acquire), so relaxed would do */
    pthread_mutex_t mutex;      /* guards parking only */
    pthread_cond_t wake;
#if defined(__linux__)
    cpu_set_t allowed;          /* of the thread that opened the pool */
#endif
};

static inline void pause_spin(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

#if defined(__linux__)

static void pin_to(const cpu_set_t *allowed, uint32_t nth)
{
    cpu_set_t one;
    uint32_t n = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, allowed) && n++ == nth) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            sched_setaffinity(0, sizeof one, &one);
            return;
        }
}

#endif

/* The member's core is the id-th of those that the opening thread might use. */
static void pin_self(const struct thread_pool *p, uint32_t id)
{
#if defined(__linux__)
    if (p->is_pinned) pin_to(&p->allowed, id);
#elif defined(__APPLE__)
    (void)p, (void)id;          /* no pinning there: the class keeps threads on performance cores */
    pthread_set_qos_class_self_np(QOS_CLASS_USER_INTERACTIVE, 0);
#else
    (void)p, (void)id;
#endif
}

/* Waits until *value differs from `seen` (acquire; partner: the release that moves it). */
static unsigned wait_change(atomic_uint *value, unsigned seen)
{
    for (uint32_t spins = 0;; spins++) {
        const unsigned now = atomic_load_explicit(value, memory_order_acquire);
        if (now != seen) return now;
        if (spins < SPINS_BEFORE_YIELD) pause_spin();
        else sched_yield();
    }
}

static unsigned wait_round(struct thread_pool *p, unsigned seen)
{
    for (uint32_t spins = 0; spins < SPINS_BEFORE_PARK; spins++) {
        const unsigned now = atomic_load_explicit(&p->round, memory_order_acquire);
        if (now != seen) return now;
        pause_spin();
    }
    pthread_mutex_lock(&p->mutex);
    /* seq_cst on both sides (partner: start_round): either the caller sees us parked and takes the
     * mutex to wake us, or we see its round here */
    atomic_fetch_add(&p->n_parked, 1);
    unsigned now;
    while ((now = atomic_load(&p->round)) == seen) pthread_cond_wait(&p->wake, &p->mutex);
    atomic_fetch_sub(&p->n_parked, 1);
    pthread_mutex_unlock(&p->mutex);
    return now;
}

static void start_round(struct thread_pool *p)
{
    atomic_store_explicit(&p->n_done, 0, memory_order_relaxed);     /* ordered by round */
    atomic_fetch_add(&p->round, 1);
    if (atomic_load(&p->n_parked)) {
        pthread_mutex_lock(&p->mutex);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->mutex);
    }
}

static void *member_main(void *arg)
{
    struct member *me = arg;
    struct thread_pool *p = me->pool;
    unsigned seen = 0;

    pin_self(p, me->id);
    for (;;) {
        seen = wait_round(p, seen);
        if (atomic_load(&p->is_closing)) return NULL;
        p->fn(p->arg, me->id, p->n_threads);
        atomic_fetch_add_explicit(&p->n_done, 1, memory_order_release);
    }
}

/* Zeroed memory at a cache line's beginning; NULL: there is none. Release with free. */
static void *take_lines(size_t n_bytes)
{
    void *memory = NULL;
    if (posix_memalign(&memory, CACHE_LINE, n_bytes)) return NULL;
    return memset(memory, 0, n_bytes);
}

static pl_status start_members(struct thread_pool *p, pl_err *err)
{
    for (; p->n_started < p->n_threads; p->n_started++) {
        struct member *m = &p->member[p->n_started];
        *m = (struct member){ .pool = p, .id = p->n_started };
        const int code = pthread_create(&m->thread, NULL, member_main, m);
        if (code)
            return pl_fail(err, PL_E_MEMORY, "cannot start thread %" PRIu32 " of %" PRIu32 ": %s",
                           p->n_started + 1, p->n_threads, strerror(code));
    }
    return PL_OK;
}

pl_status thread_pool_open(struct thread_pool **out, uint32_t n_threads, pl_err *err)
{
    *out = NULL;
    if (n_threads < 1 || n_threads > MAX_THREADS)
        return pl_fail(err, PL_E_PARAM, "%" PRIu32 " threads; 1..%d are wanted", n_threads,
                       MAX_THREADS);
    struct thread_pool *p = take_lines(sizeof *p);
    if (!p) return pl_fail(err, PL_E_MEMORY, "no memory for a team of threads");
    p->n_threads = n_threads;
    p->n_started = 1;
    p->n_gates = (n_threads + GATE_MEMBERS - 1) / GATE_MEMBERS;
    p->is_pinned = n_threads > 1 && n_threads <= cpu_performance_cores();
#if defined(__linux__)
    if (sched_getaffinity(0, sizeof p->allowed, &p->allowed)) p->is_pinned = false;
#endif
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->wake, NULL);
    p->member = calloc(n_threads, sizeof *p->member);
    p->gate = take_lines((p->n_gates + 1) * sizeof *p->gate);

    pl_status st = p->member && p->gate ? start_members(p, err)
                                        : pl_fail(err, PL_E_MEMORY, "no memory for %" PRIu32
                                                  " threads", n_threads);
    if (st) {
        thread_pool_close(p);
        return st;
    }
    *out = p;
    return PL_OK;
}

void thread_pool_close(struct thread_pool *p)
{
    if (!p) return;
    atomic_store(&p->is_closing, true);
    start_round(p);
    for (uint32_t i = 1; p->member && i < p->n_started; i++)
        pthread_join(p->member[i].thread, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->mutex);
    free(p->member);
    free(p->gate);
    free(p);
}

uint32_t thread_pool_n(const struct thread_pool *p)
{
    return p->n_threads;
}

void thread_pool_pin_caller(const struct thread_pool *p)
{
    pin_self(p, 0);
}

void thread_pool_unpin_caller(const struct thread_pool *p)
{
#if defined(__linux__)
    if (p->is_pinned) sched_setaffinity(0, sizeof p->allowed, &p->allowed);
#else
    (void)p;
#endif
}

void thread_pool_run(struct thread_pool *p, thread_pool_fn *fn, void *arg)
{
    p->fn = fn;
    p->arg = arg;
    if (p->n_threads > 1) start_round(p);
    fn(arg, 0, p->n_threads);
    unsigned done;
    while ((done = atomic_load_explicit(&p->n_done, memory_order_acquire)) < p->n_threads - 1)
        wait_change(&p->n_done, done);
}

/* Whether this was the last of n to arrive, who opens the gate when all may go on; the others
 * return when it is open. */
static bool arrive(struct gate *g, uint32_t n)
{
    const unsigned seen = atomic_load_explicit(&g->generation, memory_order_acquire);
    /* acq_rel: the last to arrive has seen what all others wrote before they arrived */
    if (atomic_fetch_add_explicit(&g->n_arrived, 1, memory_order_acq_rel) + 1 == n) return true;
    wait_change(&g->generation, seen);
    return false;
}

static void open_gate(struct gate *g)
{
    atomic_store_explicit(&g->n_arrived, 0, memory_order_relaxed);      /* ordered by generation */
    atomic_fetch_add_explicit(&g->generation, 1, memory_order_release);
}

void thread_pool_barrier(struct thread_pool *p, uint32_t id)
{
    if (p->n_threads == 1) return;
    const uint32_t first = id / GATE_MEMBERS * GATE_MEMBERS, left = p->n_threads - first;
    struct gate *mine = &p->gate[id / GATE_MEMBERS], *all = &p->gate[p->n_gates];
    if (!arrive(mine, left < GATE_MEMBERS ? left : GATE_MEMBERS)) return;
    if (p->n_gates > 1 && arrive(all, p->n_gates)) open_gate(all);
    open_gate(mine);
}
