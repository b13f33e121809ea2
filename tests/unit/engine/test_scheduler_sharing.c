/* Scheduler: what is shared and when, forks, and what is given back. */
#include <string.h>

#include "unit/engine/scheduler_bench.h"

/* ---- sharing -------------------------------------------------------------------------------- */

static void test_equal_prompts_share_pages(void **state)
{
    (void)state;
    struct bench b;
    struct user first = { 0 }, second = { 0 }, whole = { 0 };
    open_bench(&b, 40, ample);
    add(&b, &first, 0, 40, 30);
    run_step(&b);
    add(&b, &second, 0, 40, 30);
    add(&b, &whole, 0, 32, 30); /* two full pages: the second is computed again, for its logits */
    compose(&b);
    assert_int_equal(second.seq.n_cached, 32);
    assert_int_equal(cols_of(&b, &second), 8);
    assert_int_equal(second.page[0], first.page[0]);
    assert_int_equal(second.page[1], first.page[1]);
    assert_int_not_equal(second.page[2], first.page[2]);
    assert_int_equal(whole.seq.n_cached, 16);
    assert_int_equal(cols_of(&b, &whole), 16);
    assert_int_equal(kv_pool_n_refs(b.pool, first.page[0]), 3);
    assert_int_equal(b.n_copies, 0);
    commit(&b);
    close_bench(&b);
}

/* Two that come together: the second waits for the first's pages, then computes its own end. */
static void test_equal_prompts_that_come_together(void **state)
{
    (void)state;
    struct bench b;
    struct user first = { 0 }, second = { 0 };
    open_bench(&b, 40, ample);
    add(&b, &first, 0, 100, 30);
    add(&b, &second, 0, 110, 30);
    compose(&b);
    assert_int_equal(cols_of(&b, &first), 64);
    assert_int_equal(cols_of(&b, &second), 0);
    commit(&b);
    compose(&b);
    assert_int_equal(second.seq.n_cached, 64);
    assert_int_equal(b.step.n_cached_tokens, 64);
    assert_int_equal(cols_of(&b, &first), 36);
    assert_int_equal(cols_of(&b, &second), 0);
    commit(&b);
    compose(&b);
    assert_int_equal(second.seq.n_cached, 96);
    assert_int_equal(cols_of(&b, &second), 14);
    assert_memory_equal(first.page, second.page, 6 * sizeof *first.page);
    commit(&b);
    close_bench(&b);
}

/* The leader goes: what it has finished stays, the other goes on from there. */
static void test_a_leader_that_leaves(void **state)
{
    (void)state;
    struct bench b;
    struct user first = { 0 }, second = { 0 };
    open_bench(&b, 40, ample);
    add(&b, &first, 0, 200, 30);
    add(&b, &second, 0, 200, 30);
    run_step(&b);
    compose(&b);
    assert_int_equal(cols_of(&b, &second), 0);
    scheduler_remove(b.scheduler, &first.seq); /* in flight: nothing of that is entered */
    commit(&b);
    compose(&b);
    assert_int_equal(second.seq.n_cached, 64);
    assert_int_equal(cols_of(&b, &second), 64);
    commit(&b);
    close_bench(&b);
}

/* What a page of its own holds so far is given up for the whole page of another. */
static void test_a_page_begun_is_given_up_for_a_whole_one(void **state)
{
    (void)state;
    struct bench b;
    struct user first = { 0 }, second = { 0 };
    struct scheduler_params p = ample;
    p.step_tokens = 40;
    open_bench(&b, 40, p);
    add(&b, &second, 0, 120, 30);   /* 40 a step */
    run_step(&b);
    assert_int_equal(second.seq.n_computed, 40);
    const uint32_t begun = second.page[2];
    add(&b, &first, 0, 60, 30);     /* has the first two */
    assert_true(kv_pool_is_writable(b.pool, begun));
    assert_true(kv_pool_reserve(b.pool, 1)); /* as if another had computed the third page */
    const uint32_t whole = kv_pool_take(b.pool);
    struct prefix_key key = { { 0, 0 } };
    for (int i = 0; i < 3; i++) key = prefix_key_next(key, second.token + i * PAGE_TOKENS);
    assert_true(kv_pool_enter(b.pool, whole, key, second.token + 2 * PAGE_TOKENS));
    kv_pool_release(b.pool, whole);
    compose(&b);
    assert_int_equal(second.page[2], whole);
    assert_int_equal(first.page[2], whole);
    assert_int_equal(second.seq.n_cached, 8);
    assert_int_equal(first.seq.n_cached, 48);
    commit(&b);
    close_bench(&b);
}

/* Both reply alike: of pages with equal content the second keeps none of its own. */
static void test_replies_that_are_equal_share_pages(void **state)
{
    (void)state;
    struct bench b;
    struct user first = { 0 }, second = { 0 };
    open_bench(&b, 40, ample);
    add(&b, &first, 0, 20, 60);
    run_step(&b);
    add(&b, &second, 0, 20, 60);
    for (int i = 0; i < 40; i++) run_step(&b);
    assert_memory_equal(first.page, second.page, 3 * sizeof *first.page);
    assert_int_not_equal(first.page[3], second.page[3]);
    close_bench(&b);
}

/* The next turn of a chat begins with the prompt and the reply of the last. */
static void test_replies_are_reused(void **state)
{
    (void)state;
    struct bench b;
    struct user first = { 0 }, next = { 0 };
    open_bench(&b, 40, ample);
    add(&b, &first, 0, 20, 30);
    run_all(&b, &first);

    next.seq = (struct seq){ .token = next.token, .page = { next.page }, .n_prompt = 60,
                             .max_tokens = 70 };
    memcpy(next.token, first.token, 50 * sizeof *first.token);
    scheduler_add(b.scheduler, &next.seq);
    compose(&b);
    assert_int_equal(next.seq.n_cached, 48);
    commit(&b);
    close_bench(&b);
}

static void test_no_prefix_cache(void **state)
{
    (void)state;
    struct bench b;
    struct user first = { 0 }, second = { 0 }, fork = { 0 };
    struct scheduler_params p = ample;
    p.no_prefix_cache = true;
    open_bench(&b, 40, p);
    add(&b, &first, 0, 40, 30);
    run_step(&b);
    add(&b, &second, 0, 40, 30);
    fork.seq.fork_of = &first.seq;
    add(&b, &fork, 0, 40, 30);
    compose(&b);
    assert_int_equal(second.seq.n_cached, 0);
    assert_int_equal(fork.seq.n_cached, 39); /* asked for by name */
    commit(&b);
    for (int i = 0; i < 2; i++) run_step(&b);
    scheduler_remove(b.scheduler, &first.seq);
    scheduler_remove(b.scheduler, &second.seq);
    scheduler_remove(b.scheduler, &fork.seq);
    assert_int_equal(kv_pool_counts(b.pool).n_cached, 0);
    close_bench(&b);
}

/* Sharing held pages lets a request in that would not fit alone. */
static void test_shared_pages_need_no_memory(void **state)
{
    (void)state;
    struct bench b;
    struct user first = { 0 }, same = { 0 }, other = { 0 };
    open_bench(&b, 8, ample);
    add(&b, &first, 0, 65, 10); /* 5 pages, 4 of them full */
    while (first.seq.state != SEQ_DECODE) run_step(&b);
    add(&b, &other, 500, 65, 10);
    compose(&b);
    assert_int_equal(other.seq.state, SEQ_WAITING);
    commit(&b);
    scheduler_remove(b.scheduler, &other.seq);
    add(&b, &same, 0, 65, 10);
    compose(&b);
    assert_int_equal(same.seq.state, SEQ_PREFILL);
    assert_int_equal(same.seq.n_cached, 64);
    commit(&b);
    close_bench(&b);
}

/* Other content has the key of the request's first page: nothing is shared, nothing entered. */
static void test_hash_collision_ends_sharing(void **state)
{
    (void)state;
    struct bench b;
    struct user u = { 0 }, same = { 0 };
    int32_t prompt[PAGE_TOKENS], other[PAGE_TOKENS] = { 7 };
    open_bench(&b, 40, ample);
    for (int i = 0; i < PAGE_TOKENS; i++) prompt[i] = i;
    const struct prefix_key key = prefix_key_next((struct prefix_key){ { 0, 0 } }, prompt);
    assert_true(kv_pool_reserve(b.pool, 1));
    const uint32_t foreign = kv_pool_take(b.pool);
    assert_true(kv_pool_enter(b.pool, foreign, key, other));
    kv_pool_release(b.pool, foreign);

    add(&b, &u, 0, 40, 30);
    run_step(&b);
    assert_int_equal(u.seq.n_indexed, 0);
    add(&b, &same, 0, 40, 30);
    run_step(&b);
    assert_int_equal(same.seq.n_cached, 0);
    scheduler_remove(b.scheduler, &u.seq);
    scheduler_remove(b.scheduler, &same.seq);
    assert_int_equal(kv_pool_counts(b.pool).n_cached, 1);
    assert_int_equal(kv_pool_find(b.pool, key, other), foreign);
    close_bench(&b);
}

/* ---- fork ----------------------------------------------------------------------------------- */

static void test_fork_waits_then_shares(void **state)
{
    (void)state;
    struct bench b;
    struct user source = { 0 }, fork[2] = { 0 }, later = { 0 };
    open_bench(&b, 40, ample);
    add(&b, &source, 0, 100, 30);
    for (int i = 0; i < 2; i++) {
        fork[i].seq.fork_of = &source.seq;
        add(&b, &fork[i], 0, 100, 30);
    }
    add(&b, &later, 500, 4, 4);
    run_step(&b); /* the one behind the forks is done, and of the source what it left */
    assert_int_equal(later.seq.state, SEQ_DECODE);
    while (source.seq.state != SEQ_DECODE) {
        assert_int_equal(scheduler_n_waiting(b.scheduler), 2);
        run_step(&b);
    }
    compose(&b);
    assert_int_equal(b.step.n_admitted, 2);
    assert_int_equal(b.n_copies, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fork[i].seq.n_cached, 99);
        assert_int_equal(cols_of(&b, &fork[i]), 1);
        for (int k = 0; k < 6; k++) assert_int_equal(fork[i].page[k], source.page[k]);
        assert_int_equal(b.copied_to[i], fork[i].page[6]);
        assert_int_equal(b.copied_from[i], source.page[6]);
        assert_int_not_equal(fork[i].page[6], source.page[6]);
        assert_null(fork[i].seq.fork_of);
    }
    assert_int_equal(kv_pool_n_refs(b.pool, source.page[5]), 3);
    commit(&b);
    for (int i = 0; i < 2; i++) assert_int_equal(fork[i].seq.state, SEQ_DECODE);
    close_bench(&b);
}

/* A prompt that ends with a page; one whose last token begins a page and needs no copy. */
static void test_fork_at_page_borders(void **state)
{
    (void)state;
    for (uint32_t n_prompt = 31; n_prompt <= 34; n_prompt++) {
        struct bench b;
        struct user source = { 0 }, fork = { 0 };
        open_bench(&b, 40, ample);
        add(&b, &source, 0, n_prompt, 30);
        fork.seq.fork_of = &source.seq;
        add(&b, &fork, 0, n_prompt, 30);
        run_step(&b);
        compose(&b);
        assert_int_equal(fork.seq.n_cached, n_prompt - 1);
        assert_int_equal(b.n_copies, n_prompt == 33 ? 0 : 1);
        commit(&b);
        close_bench(&b);
    }
}

static void test_fork_of_a_removed_source_goes_on(void **state)
{
    (void)state;
    struct bench b;
    struct user source = { 0 }, fork = { 0 };
    open_bench(&b, 40, ample);
    add(&b, &source, 0, 100, 10);
    fork.seq.fork_of = &source.seq;
    add(&b, &fork, 0, 100, 10);
    run_step(&b);
    assert_int_equal(fork.seq.state, SEQ_WAITING);
    scheduler_remove(b.scheduler, &source.seq);
    assert_null(fork.seq.fork_of);
    memset(&source, 0xee, sizeof source); /* nothing may look at it now */
    compose(&b);
    assert_int_equal(fork.seq.state, SEQ_PREFILL);
    assert_int_equal(fork.seq.n_cached, 64); /* what the source had entered into the index */
    commit(&b);
    close_bench(&b);
}

/* The source fills every slot: the fork gets its turn when it has left. */
static void test_fork_with_one_slot(void **state)
{
    (void)state;
    struct bench b;
    struct user source = { 0 }, fork = { 0 };
    open_bench(&b, 4, (struct scheduler_params){ .n_slots = 1, .step_tokens = 64,
                                                 .prefill_tokens = 64 });
    add(&b, &source, 0, 40, 5);
    fork.seq.fork_of = &source.seq;
    add(&b, &fork, 0, 40, 5);
    for (int i = 0; i < 5; i++) run_step(&b);
    assert_int_equal(source.seq.state, SEQ_GONE);
    for (int i = 0; i < 5; i++) run_step(&b);
    assert_int_equal(fork.seq.state, SEQ_GONE);
    close_bench(&b);
}

/* ---- removal -------------------------------------------------------------------------------- */

static void test_removal_in_every_state_gives_all_back(void **state)
{
    (void)state;
    struct bench b;
    struct user decoding = { 0 }, prefilling = { 0 }, waiting = { 0 };
    open_bench(&b, 40, (struct scheduler_params){ .n_slots = 2, .step_tokens = 8,
                                                  .prefill_tokens = 8, .no_prefix_cache = true });
    add(&b, &decoding, 0, 8, 50);
    run_step(&b);
    add(&b, &prefilling, 100, 60, 50);
    add(&b, &waiting, 200, 8, 8);
    run_step(&b);
    assert_int_equal(decoding.seq.state, SEQ_DECODE);
    assert_int_equal(prefilling.seq.state, SEQ_PREFILL);
    assert_int_equal(waiting.seq.state, SEQ_WAITING);

    scheduler_remove(b.scheduler, &waiting.seq);
    check_audits(&b);
    scheduler_remove(b.scheduler, &prefilling.seq);
    check_audits(&b);
    assert_int_equal(kv_pool_counts(b.pool).n_held, decoding.seq.n_pages);
    scheduler_remove(b.scheduler, &decoding.seq);
    check_audits(&b);
    assert_int_equal(kv_pool_counts(b.pool).n_free, 40);
    assert_int_equal(kv_pool_counts(b.pool).n_reserved, 0);
    assert_int_equal(waiting.seq.state, SEQ_GONE);
    compose(&b);
    assert_int_equal(b.step.batch.n_cols, 0);
    close_bench(&b);
}

/* Of a cached prefix the end goes first: what is left can still be found. */
static void test_cached_prefixes_lose_their_end_first(void **state)
{
    (void)state;
    struct bench b;
    struct user first = { 0 }, other = { 0 }, again = { 0 };
    open_bench(&b, 6, ample);
    add(&b, &first, 0, 65, 1);
    run_all(&b, &first); /* 4 pages cached, 2 free */
    add(&b, &other, 500, 60, 1);
    run_all(&b, &other); /* takes 4 */
    assert_int_equal(kv_pool_counts(b.pool).n_evicted, 2);
    add(&b, &again, 0, 65, 1);
    compose(&b);
    assert_int_equal(again.seq.n_cached, 32);
    commit(&b);
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_prompts_share_pages),
        cmocka_unit_test(test_equal_prompts_that_come_together),
        cmocka_unit_test(test_a_leader_that_leaves),
        cmocka_unit_test(test_a_page_begun_is_given_up_for_a_whole_one),
        cmocka_unit_test(test_replies_that_are_equal_share_pages),
        cmocka_unit_test(test_replies_are_reused),
        cmocka_unit_test(test_no_prefix_cache),
        cmocka_unit_test(test_shared_pages_need_no_memory),
        cmocka_unit_test(test_hash_collision_ends_sharing),
        cmocka_unit_test(test_fork_waits_then_shares),
        cmocka_unit_test(test_fork_at_page_borders),
        cmocka_unit_test(test_fork_of_a_removed_source_goes_on),
        cmocka_unit_test(test_fork_with_one_slot),
        cmocka_unit_test(test_removal_in_every_state_gives_all_back),
        cmocka_unit_test(test_cached_prefixes_lose_their_end_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
