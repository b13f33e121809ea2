/* The team of threads: who runs, what is seen after barriers and runs, parking, pinning. Shared
 * data is deliberately not atomic: under the thread sanitizer these tests prove the ordering. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#if defined(__linux__)
#include <sched.h>
#endif

#include <cmocka.h>

#include "base/cpu_isa.h"
#include "base/thread_pool.h"

enum { MAX_TEAM = 40, N_ROUNDS = 60 };

/* One core, as many as there are, and far more; a barrier of one gate, of two, of four. */
static uint32_t team_size(int i)
{
    const uint32_t cores = cpu_performance_cores();
    const uint32_t sizes[] = { 1, 2, 3, cores, 2 * cores + 3, 8, 9, 26 };
    const int n = sizeof sizes / sizeof *sizes;
    return i < n ? sizes[i] < MAX_TEAM ? sizes[i] : MAX_TEAM : 0;
}

static struct thread_pool *open_team(uint32_t n)
{
    struct thread_pool *pool;
    pl_err err;

    assert_int_equal(thread_pool_open(&pool, n, &err), PL_OK);
    assert_int_equal(thread_pool_n(pool), n);
    return pool;
}

static void sleep_ms(long ms)
{
    const struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
    nanosleep(&t, NULL);
}

struct count {
    uint32_t n_calls[MAX_TEAM], n_threads[MAX_TEAM];
};

static void count_call(void *arg, uint32_t id, uint32_t n_threads)
{
    struct count *c = arg;
    c->n_calls[id]++;
    c->n_threads[id] = n_threads;
}

static void check_every_member_runs_once(struct thread_pool *pool, uint32_t n, long pause_ms,
                                         uint32_t n_runs)
{
    struct count c = { 0 };

    for (uint32_t run = 1; run <= n_runs; run++) {
        thread_pool_run(pool, count_call, &c);
        for (uint32_t id = 0; id < MAX_TEAM; id++) {
            assert_int_equal(c.n_calls[id], id < n ? run : 0);
            assert_int_equal(c.n_threads[id], id < n ? n : 0);
        }
        if (pause_ms) sleep_ms(pause_ms);
    }
}

static void every_member_runs_once_a_run(void **state)
{
    (void)state;
    for (int i = 0; team_size(i); i++) {
        struct thread_pool *pool = open_team(team_size(i));
        check_every_member_runs_once(pool, team_size(i), 0, 200);
        thread_pool_close(pool);
    }
}

/* Pauses far longer than members spin: every run finds them parked. */
static void parked_members_wake(void **state)
{
    (void)state;
    struct thread_pool *pool = open_team(3);
    check_every_member_runs_once(pool, 3, 20, 10);
    thread_pool_close(pool);
}

struct relay {
    struct thread_pool *pool;
    uint64_t value[2][MAX_TEAM];    /* rounds alternate between the two */
    uint64_t wrong[MAX_TEAM];
};

/* Each round every member computes from what all members wrote in the round before. */
static void relay(void *arg, uint32_t id, uint32_t n_threads)
{
    struct relay *r = arg;
    r->value[0][id] = id;
    thread_pool_barrier(r->pool, id);
    for (uint32_t round = 1; round <= N_ROUNDS; round++) {
        const uint64_t *before = r->value[(round - 1) % 2];
        for (uint32_t i = 0; i < n_threads; i++) r->wrong[id] += before[i] != i + round - 1;
        r->value[round % 2][id] = before[id] + 1;
        thread_pool_barrier(r->pool, id);
    }
}

static void a_barrier_holds_back_everyone(void **state)
{
    (void)state;
    for (int i = 0; team_size(i); i++) {
        const uint32_t n = team_size(i);
        struct relay r = { .pool = open_team(n) };
        for (int run = 0; run < 5; run++) {
            thread_pool_run(r.pool, relay, &r);
            for (uint32_t id = 0; id < n; id++) {
                assert_int_equal(r.wrong[id], 0);
                assert_int_equal(r.value[N_ROUNDS % 2][id], id + N_ROUNDS);
            }
        }
        thread_pool_close(r.pool);
    }
}

static int64_t processor_time_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* Parked threads take none; before they park they spin, for as long as a busy machine makes of
 * it. */
static void an_idle_team_takes_no_time(void **state)
{
    (void)state;
    struct thread_pool *pool = open_team(4);
    struct count c = { 0 };
    int64_t used_ns = 0;

    thread_pool_run(pool, count_call, &c);
    for (int i = 0; i < 100; i++) {
        const int64_t before_ns = processor_time_ns();
        sleep_ms(300);
        used_ns = processor_time_ns() - before_ns;
        if (used_ns < 30000000) break;
    }
    thread_pool_close(pool);
    if (used_ns >= 30000000) fail_msg("%lld ns of processor time in 300 ms", (long long)used_ns);
}

static void a_team_may_close_before_it_ran(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) thread_pool_close(open_team(1 + (uint32_t)i % 5));
    thread_pool_close(NULL);
}

static void sizes_out_of_range_are_refused(void **state)
{
    (void)state;
    const uint32_t sizes[] = { 0, 1025, UINT32_MAX };
    for (int i = 0; i < 3; i++) {
        struct thread_pool *pool = (struct thread_pool *)state;
        pl_err err;
        assert_int_equal(thread_pool_open(&pool, sizes[i], &err), PL_E_PARAM);
        assert_null(pool);
        assert_non_null(strstr(err.text, "1..1024"));
    }
}

#if defined(__linux__)

static void note_cores(void *arg, uint32_t id, uint32_t n_threads)
{
    (void)n_threads;
    sched_getaffinity(0, sizeof(cpu_set_t), (cpu_set_t *)arg + id);
}

/* Members have a core of their own, all different, and the caller's only once it asks. */
static void members_are_pinned_within_the_mask(void **state)
{
    (void)state;
    const uint32_t n = cpu_performance_cores();
    cpu_set_t before, all, core[MAX_TEAM];
    if (n < 2 || n > MAX_TEAM) skip();

    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    struct thread_pool *pool = open_team(n);
    thread_pool_run(pool, note_cores, core);
    assert_true(CPU_EQUAL(&core[0], &before));
    thread_pool_pin_caller(pool);
    thread_pool_run(pool, note_cores, core);
    CPU_ZERO(&all);
    for (uint32_t id = 0; id < n; id++) {
        assert_int_equal(CPU_COUNT(&core[id]), 1);
        CPU_OR(&all, &all, &core[id]);
    }
    assert_int_equal(CPU_COUNT(&all), n);
    CPU_AND(&core[0], &all, &before);
    assert_true(CPU_EQUAL(&core[0], &all));
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    thread_pool_close(pool);
}

/* More members than cores: pinning would only get in the scheduler's way. */
static void a_large_team_is_not_pinned(void **state)
{
    (void)state;
    const uint32_t n = cpu_performance_cores() + 1;
    cpu_set_t before, core[MAX_TEAM];
    if (n > MAX_TEAM) skip();

    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    struct thread_pool *pool = open_team(n);
    thread_pool_pin_caller(pool);
    thread_pool_run(pool, note_cores, core);
    for (uint32_t id = 0; id < n; id++) assert_true(CPU_EQUAL(&core[id], &before));
    thread_pool_close(pool);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_member_runs_once_a_run),
        cmocka_unit_test(parked_members_wake),
        cmocka_unit_test(a_barrier_holds_back_everyone),
        cmocka_unit_test(an_idle_team_takes_no_time),
        cmocka_unit_test(a_team_may_close_before_it_ran),
        cmocka_unit_test(sizes_out_of_range_are_refused),
#if defined(__linux__)
        cmocka_unit_test(members_are_pinned_within_the_mask),
        cmocka_unit_test(a_large_team_is_not_pinned),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
