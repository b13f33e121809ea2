/* Work that evens itself out: every part once, one's own first and in order, what others have not
 * begun afterwards, over phases of different sizes that follow each other at a barrier. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/lots.h"
#include "base/thread_pool.h"

enum { MAX_MEMBERS = 9, MAX_PARTS = 8, N_PHASES = 41 };

static struct lot *take_lots(uint32_t n)
{
    struct lot *lot = aligned_alloc(128, n * sizeof *lot);
    assert_non_null(lot);
    memset(lot, 0xff, n * sizeof *lot);         /* what a walk finds is not what it begins by */
    lots_clear(lot, n);
    return lot;
}

static uint32_t next_of(struct lot_walk *w)
{
    uint32_t part;
    return lot_walk_next(w, &part) ? part : UINT32_MAX;
}

/* Members 0 .. 2 with three parts each, one step at a time. */
static void own_parts_come_first_then_what_others_left(void **state)
{
    (void)state;
    struct lot *lot = take_lots(3);
    struct lot_walk walk[3];

    for (uint32_t i = 0; i < 3; i++) walk[i] = lot_walk_begin(lot, 3, 3, 0, i);
    assert_int_equal(next_of(&walk[1]), 3);
    assert_int_equal(next_of(&walk[2]), 6);
    assert_int_equal(next_of(&walk[1]), 4);
    assert_int_equal(next_of(&walk[1]), 5);
    assert_int_equal(next_of(&walk[1]), 7);         /* of the next member, who has begun one */
    assert_int_equal(next_of(&walk[2]), 8);
    assert_int_equal(next_of(&walk[1]), 0);         /* of one who has begun none */
    assert_int_equal(next_of(&walk[0]), 1);
    assert_int_equal(next_of(&walk[2]), 2);
    for (uint32_t i = 0; i < 3; i++)
        for (int again = 0; again < 2; again++) assert_int_equal(next_of(&walk[i]), UINT32_MAX);
    free(lot);
}

static uint32_t parts_of(uint32_t phase)
{
    return 1 + phase * 5 % MAX_PARTS;
}

/* Not atomic: the thread sanitizer sees it where a part is taken twice, or before the barrier. */
struct work {
    struct thread_pool *pool;
    struct lot *lot;
    uint32_t n_done[N_PHASES][MAX_MEMBERS * MAX_PARTS];
    uint32_t left_undone;       /* a member that takes nothing, as if it were held up */
};

static void do_phases(void *arg, uint32_t id, uint32_t n)
{
    struct work *w = arg;
    for (uint32_t phase = 0; phase < N_PHASES; phase++) {
        struct lot_walk walk = lot_walk_begin(w->lot, n, parts_of(phase), phase, id);
        for (uint32_t part; id != w->left_undone && lot_walk_next(&walk, &part);)
            w->n_done[phase][part] += 1 + (phase ? w->n_done[phase - 1][0] - 1 : 0);
        thread_pool_barrier(w->pool, id);
    }
}

static void check_phases(uint32_t n, uint32_t left_undone)
{
    pl_err err;
    struct work *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->lot = take_lots(n);
    w->left_undone = left_undone;
    assert_int_equal(thread_pool_open(&w->pool, n, &err), PL_OK);
    for (int run = 0; run < 3; run++) {
        memset(w->n_done, 0, sizeof w->n_done);
        lots_clear(w->lot, n);
        thread_pool_run(w->pool, do_phases, w);
        for (uint32_t phase = 0; phase < N_PHASES; phase++)
            for (uint32_t i = 0; i < MAX_MEMBERS * MAX_PARTS; i++)
                assert_int_equal(w->n_done[phase][i], i < n * parts_of(phase));
    }
    thread_pool_close(w->pool);
    free(w->lot);
    free(w);
}

static void every_part_is_taken_once(void **state)
{
    (void)state;
    for (uint32_t n = 1; n <= MAX_MEMBERS; n += n < 4 ? 1 : 5) check_phases(n, UINT32_MAX);
}

static void what_a_member_leaves_is_done_by_the_others(void **state)
{
    (void)state;
    check_phases(2, 0);
    check_phases(4, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_parts_come_first_then_what_others_left),
        cmocka_unit_test(every_part_is_taken_once),
        cmocka_unit_test(what_a_member_leaves_is_done_by_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
