/* base/ring: records come out whole and in order, one thread against another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include <cmocka.h>

#include "base/ring.h"
#include "base/rng.h"

enum { CAPACITY = 1024, N_RECORDS = 200000, MAX_RECORD = 400 };

static _Alignas(8) unsigned char memory[CAPACITY];

/* Record i: its length follows from i, its bytes from i and their place. */
static size_t length_of(uint32_t i)
{
    struct rng rng;
    rng_seed(&rng, i);
    return rng_below(&rng, MAX_RECORD + 1);
}

static void *produce(void *arg)
{
    struct ring *r = arg;
    for (uint32_t i = 0; i < N_RECORDS;) {
        const size_t n = length_of(i);
        unsigned char *to = ring_reserve(r, n);
        if (!to) {
            sched_yield();
            continue;
        }
        for (size_t j = 0; j < n; j++) to[j] = (unsigned char)(i + j);
        ring_publish(r);
        i++;
    }
    return NULL;
}

static void test_two_threads(void **state)
{
    (void)state;
    struct ring r;
    pthread_t thread;
    ring_init(&r, memory, CAPACITY);
    assert_int_equal(pthread_create(&thread, NULL, produce, &r), 0);
    for (uint32_t i = 0; i < N_RECORDS;) {
        const unsigned char *record = ring_front(&r);
        if (!record) {
            sched_yield();
            continue;
        }
        const size_t n = length_of(i);
        assert_int_equal((uintptr_t)record % 8, 0);
        for (size_t j = 0; j < n; j++)
            if (record[j] != (unsigned char)(i + j)) fail_msg("record %u byte %zu", i, j);
        ring_pop(&r);
        i++;
    }
    pthread_join(thread, NULL);
    assert_null(ring_front(&r));
    assert_int_equal(ring_room(&r), CAPACITY);
}

/* The promise of ring.h: n + 8 <= room / 2 always fits; and a full ring takes nothing. */
static void test_room(void **state)
{
    (void)state;
    struct ring r;
    struct rng rng;
    rng_seed(&rng, 1);
    ring_init(&r, memory, CAPACITY);
    for (int i = 0; i < 100000; i++) {
        const size_t n = rng_below(&rng, MAX_RECORD);
        const bool must_fit = n + 16 <= ring_room(&r) / 2;
        unsigned char *to = ring_reserve(&r, n);
        if (must_fit) assert_non_null(to);
        if (to) {
            memset(to, i, n);
            if (i % 8) ring_publish(&r);    /* else the next takes its place */
        }
        if (rng_below(&rng, 2) && ring_front(&r)) {
            const size_t before = ring_room(&r);
            const bool has_second = ring_has_second(&r);
            ring_pop(&r);
            assert_true(ring_room(&r) > before);
            assert_true(has_second == (ring_front(&r) != NULL));
        }
    }
    assert_null(ring_reserve(&r, CAPACITY));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_threads),
        cmocka_unit_test(test_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
