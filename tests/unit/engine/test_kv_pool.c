/* KV pool: its counts under random actions, what is found in the index, what is evicted first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "base/rng.h"
#include "engine/kv_pool.h"

static struct kv_pool *make_pool(uint32_t n_pages)
{
    struct kv_pool *pool;
    pl_err err = { 0 };
    if (kv_pool_open(&pool, n_pages, &err)) fail_msg("kv_pool_open: %s", err.text);
    return pool;
}

static void check_audit(const struct kv_pool *pool)
{
    const char *wrong = kv_pool_audit(pool);
    if (wrong) fail_msg("%s", wrong);
}

/* A page's tokens that depend on a number below 64 alone. */
static const int32_t *tokens_of(int32_t number)
{
    static int32_t tokens[64][PAGE_TOKENS];
    for (int i = 0; i < PAGE_TOKENS; i++) tokens[number][i] = number * PAGE_TOKENS + i;
    return tokens[number];
}

static struct prefix_key key_of(int32_t number)
{
    return prefix_key_next((struct prefix_key){ { 0, 0 } }, tokens_of(number));
}

/* A held page whose content, that of the number, is in the index. */
static uint32_t take_entered(struct kv_pool *pool, int32_t number)
{
    assert_true(kv_pool_reserve(pool, 1));
    const uint32_t page = kv_pool_take(pool);
    assert_true(kv_pool_enter(pool, page, key_of(number), tokens_of(number)));
    return page;
}

static int64_t find(const struct kv_pool *pool, int32_t number)
{
    return kv_pool_find(pool, key_of(number), tokens_of(number));
}

static void test_refuses_no_pages(void **state)
{
    (void)state;
    struct kv_pool *pool;
    pl_err err = { 0 };
    assert_int_equal(kv_pool_open(&pool, 0, &err), PL_E_PARAM);
    assert_null(pool);
    assert_non_null(strstr(err.text, "0 KV pages"));
    kv_pool_close(NULL);
}

static void test_reservations(void **state)
{
    (void)state;
    struct kv_pool *pool = make_pool(3);
    assert_true(kv_pool_reserve(pool, 2));
    assert_false(kv_pool_reserve(pool, 2));
    assert_false(kv_pool_reserve(pool, UINT32_MAX)); /* no wrap-around */
    assert_true(kv_pool_reserve(pool, 1));
    const uint32_t a = kv_pool_take(pool), b = kv_pool_take(pool);
    assert_int_not_equal(a, b);
    assert_true(kv_pool_is_writable(pool, a));
    assert_false(kv_pool_reserve(pool, 1));
    kv_pool_unreserve(pool, 1);
    assert_true(kv_pool_reserve(pool, 1));
    kv_pool_release(pool, a);
    assert_int_equal(kv_pool_counts(pool).n_free, 2);
    assert_int_equal(kv_pool_counts(pool).n_held, 1);
    assert_int_equal(kv_pool_counts(pool).n_reserved, 1);
    check_audit(pool);
    kv_pool_close(pool);
}

static void test_shared_page_is_not_writable(void **state)
{
    (void)state;
    struct kv_pool *pool = make_pool(2);
    assert_true(kv_pool_reserve(pool, 1));
    const uint32_t page = kv_pool_take(pool);
    assert_true(kv_pool_hold(pool, page));
    assert_int_equal(kv_pool_n_refs(pool, page), 2);
    assert_false(kv_pool_is_writable(pool, page));
    kv_pool_release(pool, page);
    assert_true(kv_pool_is_writable(pool, page));
    assert_true(kv_pool_enter(pool, page, key_of(1), tokens_of(1)));
    assert_false(kv_pool_is_writable(pool, page));
    check_audit(pool);
    kv_pool_close(pool);
}

/* I3: what is promised to one cannot be shared by another. */
static void test_cached_page_counts_against_reservations(void **state)
{
    (void)state;
    struct kv_pool *pool = make_pool(2);
    const uint32_t page = take_entered(pool, 7);
    kv_pool_release(pool, page);
    assert_int_equal(find(pool, 7), page);
    assert_true(kv_pool_reserve(pool, 2));
    assert_false(kv_pool_hold(pool, page));
    kv_pool_unreserve(pool, 1);
    assert_true(kv_pool_hold(pool, page));
    assert_false(kv_pool_reserve(pool, 1));
    assert_true(kv_pool_hold(pool, page)); /* held now: costs nothing */
    check_audit(pool);
    kv_pool_close(pool);
}

/* I2: free pages first, then the cached page released longest ago. */
static void test_evicts_the_oldest(void **state)
{
    (void)state;
    struct kv_pool *pool = make_pool(5);
    uint32_t page[4];
    for (int32_t i = 0; i < 4; i++) page[i] = take_entered(pool, i);
    static const int release_order[4] = { 2, 0, 3, 1 };
    for (int i = 0; i < 4; i++) kv_pool_release(pool, page[release_order[i]]);

    assert_true(kv_pool_hold(pool, page[2])); /* used again: now the youngest */
    kv_pool_release(pool, page[2]);
    assert_true(kv_pool_reserve(pool, 4));
    const uint32_t first = kv_pool_take(pool); /* the one free page */
    for (int i = 0; i < 4; i++) assert_int_not_equal(first, page[i]);
    assert_int_equal(kv_pool_counts(pool).n_evicted, 0);
    assert_int_equal(kv_pool_take(pool), page[0]);
    assert_int_equal(kv_pool_take(pool), page[3]);
    assert_int_equal(kv_pool_take(pool), page[1]);
    assert_int_equal(kv_pool_counts(pool).n_evicted, 3);
    assert_int_equal(find(pool, 0), KV_NO_PAGE);
    assert_int_equal(find(pool, 2), page[2]);
    check_audit(pool);
    kv_pool_close(pool);
}

static void test_equal_content_is_entered_once(void **state)
{
    (void)state;
    struct kv_pool *pool = make_pool(3);
    const uint32_t first = take_entered(pool, 1), second = take_entered(pool, 1);
    assert_int_equal(find(pool, 1), first);
    kv_pool_release(pool, second);
    assert_int_equal(kv_pool_counts(pool).n_free, 2); /* it was not in the index */
    kv_pool_release(pool, first);
    assert_int_equal(kv_pool_counts(pool).n_cached, 1);
    check_audit(pool);
    kv_pool_close(pool);
}

/* ---- keys ----------------------------------------------------------------------------------- */

static bool is_same_key(struct prefix_key a, struct prefix_key b)
{
    return a.bits[0] == b.bits[0] && a.bits[1] == b.bits[1];
}

/* Any one bit of the tokens or of the key before changes about half the bits of each lane. */
static void test_key_depends_on_every_bit(void **state)
{
    (void)state;
    const struct prefix_key before = { { 5, 6 } };
    const struct prefix_key key = prefix_key_next(before, tokens_of(3));
    uint64_t n_changed[2] = { 0, 0 }, n_changes = 0;

    for (int bit = 0; bit < PAGE_TOKENS * 32 + 128; bit++) {
        int32_t tokens[PAGE_TOKENS];
        struct prefix_key b = before;
        memcpy(tokens, tokens_of(3), sizeof tokens);
        if (bit < PAGE_TOKENS * 32)
            tokens[bit / 32] = (int32_t)((uint32_t)tokens[bit / 32] ^ 1u << bit % 32);
        else
            b.bits[(bit - PAGE_TOKENS * 32) / 64] ^= 1ull << bit % 64;
        const struct prefix_key other = prefix_key_next(b, tokens);
        assert_false(is_same_key(key, other));
        for (int lane = 0; lane < 2; lane++)
            n_changed[lane] += (uint64_t)__builtin_popcountll(key.bits[lane] ^ other.bits[lane]);
        n_changes++;
    }
    for (int lane = 0; lane < 2; lane++) {
        assert_in_range(n_changed[lane], n_changes * 30, n_changes * 34);
    }
}

static void test_key_names_the_whole_prefix(void **state)
{
    (void)state;
    const struct prefix_key ab = prefix_key_next(key_of(1), tokens_of(2));
    assert_true(is_same_key(ab, prefix_key_next(key_of(1), tokens_of(2))));
    assert_false(is_same_key(ab, prefix_key_next(key_of(2), tokens_of(1))));
    assert_false(is_same_key(ab, prefix_key_next(key_of(3), tokens_of(2))));
    assert_false(is_same_key(ab, key_of(2)));
}

/* Another content of the same key is neither found nor entered, and does no harm. */
static void test_collision_is_no_hit(void **state)
{
    (void)state;
    struct kv_pool *pool = make_pool(2);
    const uint32_t page = take_entered(pool, 1);
    assert_int_equal(kv_pool_find(pool, key_of(1), tokens_of(2)), KV_NO_PAGE);

    assert_true(kv_pool_reserve(pool, 1));
    const uint32_t other = kv_pool_take(pool);
    assert_false(kv_pool_enter(pool, other, key_of(1), tokens_of(2)));
    assert_true(kv_pool_is_writable(pool, other));
    assert_int_equal(find(pool, 1), page);
    check_audit(pool);
    kv_pool_close(pool);
}

/* Keys that all want the same place of the table, its last: probing wraps, gaps are closed. */
static void test_crowded_places(void **state)
{
    (void)state;
    enum { N = 12 };
    struct kv_pool *pool = make_pool(N);
    struct rng rng;
    uint32_t page[N];
    bool is_in[N] = { false };
    rng_seed(&rng, 4);

    for (int step = 0; step < 4000; step++) {
        const uint32_t i = (uint32_t)rng_below(&rng, N);
        const struct prefix_key key = { { i % 3 ? UINT64_MAX : UINT64_MAX - 1, i } };
        if (!is_in[i]) {
            assert_true(kv_pool_reserve(pool, 1));
            page[i] = kv_pool_take(pool);
            assert_true(kv_pool_enter(pool, page[i], key, tokens_of((int32_t)i)));
            is_in[i] = true;
        } else {            /* out again: the only cached page, once all free ones are taken */
            const uint32_t n_free = kv_pool_counts(pool).n_free;
            uint32_t taken[N];
            kv_pool_release(pool, page[i]);
            assert_true(kv_pool_reserve(pool, n_free + 1));
            for (uint32_t k = 0; k <= n_free; k++) taken[k] = kv_pool_take(pool);
            assert_int_equal(taken[n_free], page[i]);
            for (uint32_t k = 0; k <= n_free; k++) kv_pool_release(pool, taken[k]);
            is_in[i] = false;
        }
        for (uint32_t k = 0; k < N; k++) {
            const struct prefix_key wanted = { { k % 3 ? UINT64_MAX : UINT64_MAX - 1, k } };
            const int64_t found = kv_pool_find(pool, wanted, tokens_of((int32_t)k));
            if (found != (is_in[k] ? (int64_t)page[k] : KV_NO_PAGE))
                fail_msg("step %d: key %u gives page %lld", step, k, (long long)found);
        }
        check_audit(pool);
    }
    kv_pool_close(pool);
}

/* ---- random actions against a plain model --------------------------------------------------- */

enum { MAX_PAGES = 64, N_CONTENTS = 40, MAX_HOLDS = 200 };

struct model {
    struct kv_pool *pool;
    struct rng rng;
    uint32_t n_pages, n_reserved, n_holds;
    uint32_t hold[MAX_HOLDS];       /* a page once for each of its holders */
    int32_t content[MAX_PAGES];     /* number in the index, or -1 */
};

static bool is_held(const struct model *m, uint32_t page)
{
    for (uint32_t i = 0; i < m->n_holds; i++)
        if (m->hold[i] == page) return true;
    return false;
}

static uint32_t n_model_available(const struct model *m)
{
    uint32_t n = 0;
    for (uint32_t page = 0; page < m->n_pages; page++) n += !is_held(m, page);
    return n - m->n_reserved;
}

static void take_one(struct model *m)
{
    if (m->n_reserved == 0 || m->n_holds == MAX_HOLDS) return;
    const uint32_t page = kv_pool_take(m->pool);
    assert_false(is_held(m, page));
    m->content[page] = -1;
    m->n_reserved--;
    m->hold[m->n_holds++] = page;
}

static void enter_one(struct model *m)
{
    if (m->n_holds == 0) return;
    const uint32_t page = m->hold[rng_below(&m->rng, m->n_holds)];
    const int32_t number = (int32_t)rng_below(&m->rng, N_CONTENTS);
    if (m->content[page] >= 0) return;
    if (find(m->pool, number) == KV_NO_PAGE) m->content[page] = number;
    assert_true(kv_pool_enter(m->pool, page, key_of(number), tokens_of(number)));
}

static void share_one(struct model *m)
{
    const int32_t number = (int32_t)rng_below(&m->rng, N_CONTENTS);
    const int64_t found = find(m->pool, number);
    if (found == KV_NO_PAGE || m->n_holds == MAX_HOLDS) return;
    const uint32_t page = (uint32_t)found;
    assert_int_equal(m->content[page], number);
    const bool can = is_held(m, page) || n_model_available(m) > 0;
    assert_int_equal(kv_pool_hold(m->pool, page), can);
    if (can) m->hold[m->n_holds++] = page;
}

static void random_action(struct model *m)
{
    const uint32_t n = (uint32_t)rng_below(&m->rng, 4);
    switch (rng_below(&m->rng, 8)) {
    case 0: {
        const bool can = n <= n_model_available(m);
        assert_int_equal(kv_pool_reserve(m->pool, n), can);
        if (can) m->n_reserved += n;
        break;
    }
    case 1:
        if (n > m->n_reserved) break;
        kv_pool_unreserve(m->pool, n);
        m->n_reserved -= n;
        break;
    case 2:
    case 3:
        take_one(m);
        break;
    case 4:
        enter_one(m);
        break;
    case 5:
        share_one(m);
        break;
    default:
        if (m->n_holds == 0) break;
        const uint32_t at = (uint32_t)rng_below(&m->rng, m->n_holds);
        kv_pool_release(m->pool, m->hold[at]);
        m->hold[at] = m->hold[--m->n_holds];
        break;
    }
}

static void check_against_model(const struct model *m)
{
    uint32_t n_held = 0;
    for (uint32_t page = 0; page < m->n_pages; page++) {
        uint32_t n_refs = 0;
        for (uint32_t i = 0; i < m->n_holds; i++) n_refs += m->hold[i] == page;
        assert_int_equal(kv_pool_n_refs(m->pool, page), n_refs);
        assert_int_equal(kv_pool_is_writable(m->pool, page), n_refs == 1 && m->content[page] < 0);
        if (m->content[page] >= 0) assert_int_equal(find(m->pool, m->content[page]), page);
        n_held += n_refs > 0;
    }
    assert_int_equal(kv_pool_counts(m->pool).n_held, n_held);
    assert_int_equal(kv_pool_counts(m->pool).n_reserved, m->n_reserved);
}

static void test_accounts_for_every_page(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct model m = { .n_holds = 0 };
        rng_seed(&m.rng, seed);
        m.n_pages = 1 + (uint32_t)rng_below(&m.rng, MAX_PAGES);
        m.pool = make_pool(m.n_pages);
        memset(m.content, -1, sizeof m.content);
        for (int step = 0; step < 1500; step++) {
            random_action(&m);
            check_against_model(&m);
            const char *wrong = kv_pool_audit(m.pool);
            if (wrong) fail_msg("seed %llu step %d: %s", (unsigned long long)seed, step, wrong);
        }
        kv_pool_close(m.pool);
    }
}

static void test_what_is_released_first_goes_first(void **state)
{
    (void)state;
    struct kv_pool *pool = make_pool(4);
    uint32_t page[4];
    for (int32_t i = 0; i < 4; i++) page[i] = take_entered(pool, i);
    kv_pool_release(pool, page[0]);
    kv_pool_release_first(pool, page[1]);
    kv_pool_release(pool, page[2]);
    kv_pool_release_first(pool, page[3]);
    static const int32_t order[] = { 1, 3, 0, 2 };
    for (int i = 0; i < 4; i++) {
        check_audit(pool);
        assert_true(kv_pool_reserve(pool, 1));
        assert_int_equal(kv_pool_take(pool), page[order[i]]);
        assert_int_equal(find(pool, order[i]), KV_NO_PAGE);
    }
    kv_pool_close(pool);

    pool = make_pool(2);        /* the first of an empty list; what has content no more is free */
    page[0] = take_entered(pool, 0);
    assert_true(kv_pool_reserve(pool, 1));
    page[1] = kv_pool_take(pool);
    kv_pool_release_first(pool, page[0]);
    kv_pool_release_first(pool, page[1]);
    check_audit(pool);
    assert_int_equal(kv_pool_counts(pool).n_cached, 1);
    assert_int_equal(kv_pool_counts(pool).n_free, 1);
    kv_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refuses_no_pages),
        cmocka_unit_test(test_reservations),
        cmocka_unit_test(test_shared_page_is_not_writable),
        cmocka_unit_test(test_cached_page_counts_against_reservations),
        cmocka_unit_test(test_evicts_the_oldest),
        cmocka_unit_test(test_equal_content_is_entered_once),
        cmocka_unit_test(test_key_depends_on_every_bit),
        cmocka_unit_test(test_key_names_the_whole_prefix),
        cmocka_unit_test(test_collision_is_no_hit),
        cmocka_unit_test(test_crowded_places),
        cmocka_unit_test(test_accounts_for_every_page),
        cmocka_unit_test(test_what_is_released_first_goes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
