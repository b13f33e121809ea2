/* Histograms as Prometheus wants them, and the rate over the last seconds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>

#include <cmocka.h>

#include "engine/stats.h"

static const uint64_t second_ns = 1000000000;

static void test_histogram_is_cumulative(void **state)
{
    (void)state;
    struct stats s;
    pl_stats out;
    assert_int_equal(stats_open(&s, NULL), PL_OK);
    stats_observe(&s.now.ttft, second_ns / 1000);           /* 1 ms: on the first bound */
    stats_observe(&s.now.ttft, 3 * second_ns);
    stats_observe(&s.now.ttft, 100000 * second_ns);         /* beyond the last */
    stats_copy(&s, second_ns, &out);
    const pl_histogram *h = &out.ttft;
    assert_int_equal(h->n, 3);
    assert_int_equal(h->count[0], 1);
    assert_int_equal(h->count[h->n_bounds - 1], 2);
    assert_true(fabs(h->sum_s - 100003.001) < 1e-6);
    for (uint32_t i = 1; i < h->n_bounds; i++) {
        assert_true(h->bound_s[i] > h->bound_s[i - 1]);
        assert_int_equal(h->count[i], h->bound_s[i] >= 3 ? 2 : 1);
    }
    assert_true(out.inter_token.n_bounds > 10 && out.queue.n_bounds > 10);
    stats_copy(&s, second_ns, &out);                        /* reading changes nothing */
    assert_int_equal(out.ttft.count[0], 1);
    stats_close(&s);
}

static void test_operations(void **state)
{
    (void)state;
    struct stats s;
    pl_stats out;
    char names[PL_OPERATIONS_MAX + 1][8];
    assert_int_equal(stats_open(&s, NULL), PL_OK);
    for (int round = 0; round < 2; round++)     /* one kind more than there is room for */
        for (uint32_t i = 0; i <= PL_OPERATIONS_MAX; i++) {
            snprintf(names[i], sizeof names[i], "op%u", i);
            stats_operation(&s, names[i], i + 1, round == 0);
            stats_operation(&s, names[i], 100, false);
        }
    stats_copy(&s, second_ns, &out);
    assert_int_equal(out.n_operations, PL_OPERATIONS_MAX);
    for (uint32_t i = 0; i < PL_OPERATIONS_MAX; i++) {
        assert_string_equal(out.operation[i].name, names[i]);
        assert_int_equal(out.operation[i].prefill_ns, i + 1);
        assert_int_equal(out.operation[i].decode_ns, i + 201);
    }
    stats_close(&s);
}

static double rate_at(struct stats *s, uint64_t ns)
{
    pl_stats out;
    stats_copy(s, ns, &out);
    return out.reply_tokens_per_s;
}

static void test_rate(void **state)
{
    (void)state;
    struct stats s;
    const uint64_t begin = 1000 * second_ns;
    assert_int_equal(stats_open(&s, NULL), PL_OK);
    assert_true(rate_at(&s, begin) == 0);
    for (int i = 0; i < 200; i++)       /* 20 tokens every 50 ms for 10 s */
        stats_reply_tokens(&s, begin + (uint64_t)i * (second_ns / 20), 20);
    assert_true(fabs(rate_at(&s, begin + 10 * second_ns) - 400) < 30);
    assert_true(rate_at(&s, begin + 12 * second_ns) < 300);
    assert_true(rate_at(&s, begin + 20 * second_ns) == 0);
    for (int i = 0; i < 20; i++)        /* after a pause the rate is right within a second */
        stats_reply_tokens(&s, begin + 30 * second_ns + (uint64_t)i * (second_ns / 20), 20);
    assert_true(fabs(rate_at(&s, begin + 31 * second_ns) - 400) < 30);
    pl_stats out;
    stats_copy(&s, begin, &out);
    assert_int_equal(out.n_reply_tokens, 220 * 20);
    stats_close(&s);
}

/* One every two seconds, then one a second; what passed while nobody waited is no gap. */
static void test_the_gap_between_those_who_leave_the_queue(void **state)
{
    (void)state;
    struct stats s;
    uint64_t now = 1000 * second_ns;
    assert_int_equal(stats_open(&s, NULL), PL_OK);
    stats_left_queue(&s, now, 1, true);
    assert_true(s.now.queue_gap_s == 0);
    for (int i = 0; i < 5; i++) stats_left_queue(&s, now += 2 * second_ns, 1, true);
    assert_true(fabs(s.now.queue_gap_s - 2) < 1e-9);
    for (int i = 0; i < 60; i++) stats_left_queue(&s, now += 2 * second_ns, 2, true);
    assert_true(fabs(s.now.queue_gap_s - 1) < 0.01);
    stats_left_queue(&s, now += second_ns, 1, false);
    stats_left_queue(&s, now += 100 * second_ns, 1, true);
    assert_true(fabs(s.now.queue_gap_s - 1) < 0.01);
    stats_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histogram_is_cumulative),
        cmocka_unit_test(test_operations),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_the_gap_between_those_who_leave_the_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
