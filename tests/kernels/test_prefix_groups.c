/* Groups of spans that begin with the same pages: against a search that compares every pair, on
 * random page tables, and the choice where prefixes of several lengths compete. */
#include "product_fixture.h"

#include "backend/cpu/prefix_groups.h"

enum { MAX_SPANS = 40, MAX_TABLE = 24 };

static uint32_t table[MAX_SPANS][MAX_TABLE], order[MAX_SPANS];
static struct span span[MAX_SPANS];
static struct prefix_group group[MAX_SPANS];

static struct prefix_groups find(uint32_t n_spans)
{
    const struct batch batch = { .n_spans = n_spans, .span = span };
    struct prefix_groups g = { .order = order, .group = group };
    memset(order, 0xff, sizeof order);
    prefix_groups_find(&g, &batch, 1);
    return g;
}

static void set_span(uint32_t i, uint32_t first_pos)
{
    span[i] = (struct span){ .first_col = i, .n_cols = 1, .first_pos = first_pos,
                             .page = { NULL, table[i] } };
}

/* Whole groups cover every span once, and share what they say. */
static void check_groups(const struct prefix_groups *g, uint32_t n_spans)
{
    bool is_seen[MAX_SPANS] = { false };
    uint32_t next = 0;
    for (uint32_t i = 0; i < g->n_groups; i++) {
        assert_int_equal(g->group[i].first, next);
        assert_true(g->group[i].n >= 1);
        assert_int_equal(g->group[i].n_shared % 2, 0);
        const struct span *first = &span[g->order[next]];
        for (uint32_t k = 0; k < g->group[i].n; k++) {
            const uint32_t at = g->order[next + k];
            assert_true(at < n_spans && !is_seen[at]);
            is_seen[at] = true;
            assert_true(g->group[i].n_shared <= span[at].first_pos / PAGE_TOKENS);
            assert_memory_equal(span[at].page[1], first->page[1],
                                g->group[i].n_shared * sizeof *first->page[1]);
        }
        next += g->group[i].n;
    }
    assert_int_equal(next, n_spans);
}

static void random_tables_are_grouped_soundly(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 4);
    for (int trial = 0; trial < 3000; trial++) {
        const uint32_t n = 1 + (uint32_t)rng_below(&r, MAX_SPANS);
        for (uint32_t i = 0; i < n; i++) {
            const uint32_t from = (uint32_t)rng_below(&r, i + 1);
            const uint32_t n_same = i && from < i ? (uint32_t)rng_below(&r, MAX_TABLE + 1) : 0;
            for (uint32_t k = 0; k < MAX_TABLE; k++)
                table[i][k] = k < n_same ? table[from][k] : 1000 * i + k;
            set_span(i, (uint32_t)rng_below(&r, MAX_TABLE * PAGE_TOKENS));
        }
        const struct prefix_groups g = find(n);
        check_groups(&g, n);
    }
}

/* Two families of streams, mixed: each becomes one group with all it shares, and a stream that
 * shares nothing stays alone with its own full pages. */
static void families_are_found_in_any_order(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 21; i++) {
        for (uint32_t k = 0; k < MAX_TABLE; k++)
            table[i][k] = i == 20 ? 900 + k : k < 9 ? 100 * (i % 2) + k : 1000 * (i + 1) + k;
        set_span(i, 12 * PAGE_TOKENS + i);
    }
    const struct prefix_groups g = find(21);
    check_groups(&g, 21);
    assert_int_equal(g.n_groups, 3);
    assert_int_equal(g.group[0].n, 10);
    assert_int_equal(g.group[0].n_shared, 8);       /* 9 pages, in whole chunks */
    assert_int_equal(g.group[1].n, 10);
    assert_int_equal(g.group[2].n, 1);
    assert_int_equal(g.group[2].n_shared, 12);
}

/* Nineteen streams that share 20 pages do not give them up for one that shares two, whether it
 * comes before or after them in the order of pages. */
static void check_distant_relative(uint32_t offset)
{
    for (uint32_t i = 0; i < 20; i++) {
        const uint32_t n_same = i == 0 ? 2 : 20;
        for (uint32_t k = 0; k < MAX_TABLE; k++)
            table[i][k] = k < n_same ? 500 + k : offset * (i + 1) + k;
        set_span(i, 22 * PAGE_TOKENS);
    }
    const struct prefix_groups g = find(20);
    check_groups(&g, 20);
    uint32_t most = 0;
    for (uint32_t i = 0; i < g.n_groups; i++)
        if (g.group[i].n_shared == 20 && g.group[i].n > most) most = g.group[i].n;
    assert_int_equal(most, 19);
}

static void a_distant_relative_does_not_spoil_a_group(void **state)
{
    (void)state;
    check_distant_relative(1000);
    check_distant_relative(7);
}

/* Pages that a stream is still writing to are its own, whatever their numbers. */
static void only_full_pages_count(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        for (uint32_t k = 0; k < MAX_TABLE; k++) table[i][k] = k;
        set_span(i, i ? 5 * PAGE_TOKENS - 1 : 10 * PAGE_TOKENS);
    }
    const struct prefix_groups g = find(2);
    check_groups(&g, 2);
    assert_int_equal(g.n_groups, 1);
    assert_int_equal(g.group[0].n_shared, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_tables_are_grouped_soundly),
        cmocka_unit_test(families_are_found_in_any_order),
        cmocka_unit_test(a_distant_relative_does_not_spoil_a_group),
        cmocka_unit_test(only_full_pages_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
