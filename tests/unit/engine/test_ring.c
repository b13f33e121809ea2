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

static void *put(struct ring *r, size_t n)
{
    void *to = ring_reserve(r, n);
    if (to) ring_publish(r);
    return to;
}

/* Eight bytes before each record, all in eights; where a record does not fit into the rest, that
 * goes too. */
static void test_the_last_byte(void **state)
{
    (void)state;
    struct ring r;
    unsigned char *start = memory;
    ring_init(&r, memory, 64);
    assert_null(ring_front(&r));
    assert_int_equal(ring_room(&r), 64);
    assert_null(ring_reserve(&r, 57));
    assert_ptr_equal(put(&r, 56), start + 8);
    assert_int_equal(ring_room(&r), 0);
    assert_null(ring_reserve(&r, 0));
    assert_false(ring_has_second(&r));
    ring_pop(&r);
    assert_int_equal(ring_room(&r), 64);

    assert_ptr_equal(put(&r, 0), start + 8);            /* at 0 again: 64 bytes on */
    assert_int_equal(ring_room(&r), 56);
    assert_ptr_equal(put(&r, 1), start + 16);
    assert_int_equal(ring_room(&r), 40);
    assert_true(ring_has_second(&r));
    assert_null(ring_reserve(&r, 33));
    assert_ptr_equal(put(&r, 32), start + 32);          /* up to the end */
    assert_int_equal(ring_room(&r), 0);
    ring_pop(&r);
    ring_pop(&r);
    assert_ptr_equal(put(&r, 16), start + 8);
    assert_ptr_equal(ring_front(&r), start + 32);
    ring_pop(&r);
    assert_ptr_equal(ring_front(&r), start + 8);        /* 24 used, 40 left in one piece */
    assert_null(ring_reserve(&r, 33));                  /* 40 and a record of 48 are more than there
                                                         * is */
    assert_ptr_equal(ring_reserve(&r, 32), start + 32);
    assert_ptr_equal(put(&r, 24), start + 32);          /* in its place */
    ring_pop(&r);
    assert_ptr_equal(put(&r, 16), start + 8);     /* 8 at the end are filled, 24 at the beginning */
    assert_int_equal(ring_room(&r), 0);
    assert_true(ring_has_second(&r));
    ring_pop(&r);
    assert_ptr_equal(ring_front(&r), start + 8);
    assert_int_equal(ring_room(&r), 40);               /* the filler went with what was before it */
    ring_pop(&r);
    assert_null(ring_front(&r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_threads),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_the_last_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
