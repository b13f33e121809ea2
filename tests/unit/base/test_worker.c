/* Jobs are done once each, in the order in which they came, and all before the close ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/worker.h"

enum { N_JOBS = 2000, N_ADDERS = 4 };

struct job {
    struct worker_job job;      /* first member */
    uint32_t adder, number;
};

static struct job job[N_ADDERS][N_JOBS];
static uint32_t n_done[N_ADDERS];
static bool is_in_order = true;
static struct worker worker;

static void run(struct worker_job *j)
{
    const struct job *mine = (struct job *)j;
    is_in_order = is_in_order && n_done[mine->adder] == mine->number;
    n_done[mine->adder]++;
}

static void *add_all(void *arg)
{
    struct job *mine = arg;
    for (int i = 0; i < N_JOBS; i++) worker_add(&worker, &mine[i].job);
    return NULL;
}

static void test_jobs_from_many_threads(void **state)
{
    (void)state;
    pthread_t adder[N_ADDERS];
    pl_err err;
    for (uint32_t a = 0; a < N_ADDERS; a++)
        for (uint32_t i = 0; i < N_JOBS; i++) job[a][i] = (struct job){ { run, NULL }, a, i };
    assert_int_equal(worker_open(&worker, 1 << 20, &err), PL_OK);
    for (int a = 0; a < N_ADDERS; a++)
        assert_int_equal(pthread_create(&adder[a], NULL, add_all, job[a]), 0);
    for (int a = 0; a < N_ADDERS; a++) pthread_join(adder[a], NULL);
    worker_close(&worker);
    for (int a = 0; a < N_ADDERS; a++) assert_int_equal(n_done[a], N_JOBS);
    assert_true(is_in_order);
}

static void test_a_closed_one_is_closed_again(void **state)
{
    (void)state;
    struct worker none = { 0 };
    worker_close(&none);
    worker_close(&worker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jobs_from_many_threads),
        cmocka_unit_test(test_a_closed_one_is_closed_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
