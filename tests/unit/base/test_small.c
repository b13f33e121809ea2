/* Small things of the base: the log, the clock, waiting until a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/cond.h"
#include "base/log.h"

static char logged[1024];
static int n_logged;

static void take(void *arg, pl_log_level level, const char *subsystem, const char *line)
{
    assert_ptr_equal(arg, &n_logged);
    snprintf(logged, sizeof logged, "%d %s: %s", (int)level, subsystem, line);
    n_logged++;
}

static void lines_up_to_a_level(void **state)
{
    char longest[600], wanted[600];
    (void)state;
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    log_write(PL_LOG_ERROR, "a", "to nobody");
    pl_set_log(take, &n_logged, PL_LOG_INFO);
    log_write(PL_LOG_INFO, "kv", "n=%d %s", 5, "b");
    assert_string_equal(logged, "2 kv: n=5 b");
    log_write(PL_LOG_DEBUG, "kv", "no");
    log_write(PL_LOG_ERROR, "kv", "%s", longest);
    snprintf(wanted, sizeof wanted, "0 kv: %.511s", longest);
    assert_string_equal(logged, wanted);
    assert_int_equal(n_logged, 2);
    pl_set_log(NULL, NULL, PL_LOG_DEBUG);
    log_write(PL_LOG_ERROR, "kv", "nobody again");
    assert_int_equal(n_logged, 2);
}

static void sleeping_takes_at_least_as_long(void **state)
{
    (void)state;
    for (uint32_t ms = 1; ms <= 11; ms += 10) {
        const uint64_t start_ns = clock_ns();
        clock_sleep_ms(ms);
        assert_true(clock_ns() - start_ns >= ms * UINT64_C(1000000));
    }
    struct timespec now;
    const uint64_t before_ns = clock_ns();
    clock_gettime(CLOCK_MONOTONIC, &now);
    const uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    assert_true(before_ns <= now_ns && now_ns <= clock_ns());
}

/* On the clock that nobody sets: by the other one such a deadline passed decades ago. A wait may
 * end for no reason, but not a hundred times. */
static void a_wait_ends_at_its_deadline(void **state)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t never;
    int n_waits = 0;
    (void)state;
    assert_int_equal(cond_init(&never), 0);
    pthread_mutex_lock(&mutex);
    const uint64_t deadline_ns = clock_ns() + 10000000;
    for (; clock_ns() < deadline_ns; n_waits++) cond_wait_until(&never, &mutex, deadline_ns);
    cond_wait_until(&never, &mutex, deadline_ns);       /* it has passed */
    cond_wait_until(&never, &mutex, 0);
    pthread_mutex_unlock(&mutex);
    assert_in_range(n_waits, 0, 100);
    pthread_cond_destroy(&never);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_up_to_a_level),
        cmocka_unit_test(sleeping_takes_at_least_as_long),
        cmocka_unit_test(a_wait_ends_at_its_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
