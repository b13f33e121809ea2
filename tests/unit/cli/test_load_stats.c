/* Percentiles by their definition, with and without weights; arrivals of the open loop; the spans
 * of a run over time. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cli/load/arrivals.h"
#include "cli/load/stats.h"

static void expect_near(double got, double want, double within, const char *what)
{
    if (!(fabs(got - want) <= within)) fail_msg("%s is %.9g, not %.9g", what, got, want);
}

static void test_known_percentiles(void **state)
{
    (void)state;
    struct load_samples s = { 0 };
    for (int i = 100; i >= 1; i--) load_samples_add(&s, i, 1);
    const struct load_summary all = load_samples_summarise(&s);
    assert_int_equal(all.n, 100);
    expect_near(all.mean, 50.5, 1e-12, "mean");
    expect_near(all.p50, 50, 0, "p50");
    expect_near(all.p90, 90, 0, "p90");
    expect_near(all.p95, 95, 0, "p95");
    expect_near(all.p99, 99, 0, "p99");
    expect_near(all.max, 100, 0, "max");
    expect_near(load_samples_percentile(&s, 0.5), 1, 0, "p0.5");
    expect_near(load_samples_percentile(&s, 99.5), 100, 0, "p99.5");
    expect_near(load_samples_percentile(&s, 100), 100, 0, "p100");
    load_samples_free(&s);

    load_samples_add(&s, 3, 1);
    expect_near(load_samples_summarise(&s).p50, 3, 0, "p50 of one");
    expect_near(load_samples_summarise(&s).p99, 3, 0, "p99 of one");
    load_samples_add(&s, 1, 1);
    expect_near(load_samples_summarise(&s).p50, 1, 0, "p50 of two");
    load_samples_free(&s);
    assert_int_equal(load_samples_summarise(&s).n, 0);
}

/* Weights that add up to less than is wanted, by rounding: the last sample. */
static void test_a_rank_beyond_the_last(void **state)
{
    (void)state;
    struct load_samples s = { 0 };
    load_samples_add(&s, 1, 1);
    load_samples_add(&s, 2, 1);
    expect_near(load_samples_percentile(&s, 200), 2, 0, "p200");
    load_samples_free(&s);
}

/* The rank by counting: ceil(p/100 * n), of any order of any numbers. */
static void test_percentiles_by_counting(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct rng r;
        struct load_samples s = { 0 };
        rng_seed(&r, seed);
        const size_t n = 1 + rng_below(&r, 500);
        for (size_t i = 0; i < n; i++) load_samples_add(&s, (double)rng_below(&r, 50), 1);
        load_samples_summarise(&s);
        for (int p = 1; p <= 100; p++) {
            const size_t rank = ((size_t)p * n + 99) / 100;
            const double want = s.at[rank - 1].value, got = load_samples_percentile(&s, p);
            if (got != want)
                fail_msg("seed %d, p%d of %zu: %g, not %g", (int)seed, p, n, got, want);
        }
        load_samples_free(&s);
    }
}

/* A weight of w is as good as w samples. */
static void test_weights_are_repetitions(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct rng r;
        struct load_samples weighted = { 0 }, repeated = { 0 };
        rng_seed(&r, seed);
        for (size_t i = 1 + rng_below(&r, 60); i; i--) {
            const double value = rng_unit(&r);
            const uint64_t weight = 1 + rng_below(&r, 7);
            load_samples_add(&weighted, value, (double)weight / 4);
            for (uint64_t k = 0; k < weight; k++) load_samples_add(&repeated, value, 1);
        }
        const struct load_summary a = load_samples_summarise(&weighted);
        const struct load_summary b = load_samples_summarise(&repeated);
        expect_near(a.mean, b.mean, 1e-12, "mean");
        for (int p = 1; p <= 100; p++)
            expect_near(load_samples_percentile(&weighted, p),
                        load_samples_percentile(&repeated, p), 0, "percentile");
        load_samples_free(&weighted);
        load_samples_free(&repeated);
    }
}

/* Gaps of a Poisson process: mean and standard deviation are 1/rate, e^-1 of them are above it, and
 * the same seed gives the same. */
static void test_arrivals(void **state)
{
    (void)state;
    enum { N = 200000 };
    struct load_arrivals a, again, other;
    load_arrivals_begin(&a, 40, 7);
    load_arrivals_begin(&again, 40, 7);
    load_arrivals_begin(&other, 40, 8);
    uint64_t last = 0;
    double sum = 0, squares = 0;
    size_t n_above = 0, n_different = 0;
    for (size_t i = 0; i < N; i++) {
        const uint64_t now = load_arrivals_next_ns(&a);
        assert_true(now >= last);
        assert_int_equal(now, load_arrivals_next_ns(&again));
        n_different += now != load_arrivals_next_ns(&other);
        const double gap = (double)(now - last) * 1e-9;
        sum += gap;
        squares += gap * gap;
        n_above += gap > 1.0 / 40;
        last = now;
    }
    const double mean = sum / N;
    expect_near(mean, 1.0 / 40, 0.01 / 40, "mean gap");
    expect_near(sqrt(squares / N - mean * mean), 1.0 / 40, 0.02 / 40, "deviation of gaps");
    expect_near((double)n_above / N, exp(-1), 0.01, "share above the mean");
    assert_true(n_different > N - 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_percentiles),
        cmocka_unit_test(test_a_rank_beyond_the_last),
        cmocka_unit_test(test_percentiles_by_counting),
        cmocka_unit_test(test_weights_are_repetitions),
        cmocka_unit_test(test_arrivals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
