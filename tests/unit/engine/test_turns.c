/* Ranks: fair between those who ask, and nobody waits for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "engine/turns.h"

enum { N_STREAMS = 60, N_ENTRIES = 128 };

static struct flow room[N_ENTRIES];

static struct turns open_turns(void)
{
    struct turns t;
    memset(room, 0, sizeof room);
    assert_int_equal(turns_entries(N_STREAMS), N_ENTRIES);
    turns_open(&t, room, N_ENTRIES);
    return t;
}

static void test_of_one_who_asks_first_come_first_served(void **state)
{
    (void)state;
    struct turns t = open_turns();
    int64_t last = -1;
    for (uint32_t i = 1; i <= N_STREAMS; i++) {
        const int64_t rank = turns_come(&t, 5, 0, i);
        assert_true(rank > last);
        last = rank;
        if (i % 3 == 0) turns_start(&t, rank, i);
    }
    assert_int_equal(t.n_flows, 1);
    for (uint32_t i = 1; i <= N_STREAMS; i++) turns_leave(&t, 5, 0);
    assert_int_equal(t.n_flows, 0);
}

/* Whenever it comes, at most one of the many that have not started goes before it. */
static void test_one_goes_before_the_second_of_many(void **state)
{
    (void)state;
    for (uint32_t n_started = 0; n_started < 50; n_started++) {
        struct turns t = open_turns();
        int64_t rank[50];
        for (int i = 0; i < 50; i++) rank[i] = turns_come(&t, 1, 0, 100);
        for (uint32_t i = 0; i < n_started; i++) turns_start(&t, rank[i], 100);
        const int64_t own = turns_come(&t, 2, 0, 100);
        for (uint32_t i = n_started + 2; i < 50; i++) assert_true(own < rank[i]);
    }
}

/* Who asks for ten times as much a time has a tenth as many turns. */
static void test_turns_are_counted_in_tokens(void **state)
{
    (void)state;
    struct turns t = open_turns();
    int64_t large[10], small[40];
    for (int i = 0; i < 10; i++) large[i] = turns_come(&t, 1, 0, 1000);
    for (int i = 0; i < 40; i++) small[i] = turns_come(&t, 2, 0, 100);
    for (int i = 0; i < 4; i++) {
        assert_true(small[10 * i + 9] < large[i + 1]);
        assert_true(small[10 * i + 9] > large[i]);
    }
}

/* New askers without end, each of whom goes before it at first. */
static void test_nobody_waits_for_ever(void **state)
{
    (void)state;
    struct turns t = open_turns();
    int64_t waiting = 0;
    for (int i = 0; i < 20; i++) waiting = turns_come(&t, 1, -1, 100);
    uint64_t n = 0;
    for (int64_t other = -1; other < waiting; n++) {
        other = turns_come(&t, 1000 + n, 0, 100);
        turns_start(&t, other, 100);
        turns_leave(&t, 1000 + n, 0);
        assert_true(n < 2000);
    }
    assert_true(n > 10);
}

/* Against books that are plain: askers whose entries collide, come and go. */
static void test_flows_are_those_who_have_streams(void **state)
{
    (void)state;
    struct turns t = open_turns();
    struct rng rng;
    uint32_t n_of[500] = { 0 }, n = 0;
    rng_seed(&rng, 3);
    for (int step = 0; step < 100000; step++) {
        const uint64_t who = rng_below(&rng, 500);
        if (n < N_STREAMS && rng_below(&rng, 2)) {
            turns_come(&t, who, 0, 7);
            n_of[who]++, n++;
        } else if (n_of[who]) {
            turns_leave(&t, who, 0);
            n_of[who]--, n--;
        }
        uint32_t n_flows = 0, n_streams = 0;
        for (uint32_t i = 0; i < 500; i++) n_flows += n_of[i] > 0;
        for (uint32_t i = 0; i < N_ENTRIES; i++) {
            n_streams += room[i].n_streams;
            if (room[i].n_streams) assert_int_equal(room[i].n_streams, n_of[room[i].who]);
        }
        assert_int_equal(t.n_flows, n_flows);
        assert_int_equal(n_streams, n);
    }
}

/* What was given up in the queue is not paid for. */
static void test_what_was_not_used_is_given_back(void **state)
{
    (void)state;
    struct turns t = open_turns();
    turns_come(&t, 1, 0, 10);
    const int64_t second = turns_come(&t, 1, 0, 500);
    turns_leave(&t, 1, 500);
    assert_int_equal(turns_come(&t, 1, 0, 10), second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_of_one_who_asks_first_come_first_served),
        cmocka_unit_test(test_one_goes_before_the_second_of_many),
        cmocka_unit_test(test_turns_are_counted_in_tokens),
        cmocka_unit_test(test_nobody_waits_for_ever),
        cmocka_unit_test(test_flows_are_those_who_have_streams),
        cmocka_unit_test(test_what_was_not_used_is_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
