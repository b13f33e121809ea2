/* The sampler against a plain reference that sorts everything in double, and its draws against the
 * distribution they are from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "engine/pick.h"
#include "engine/row.h"
#include "engine/sampler.h"
#include "engine/sampling_params.h"

enum { MAX_VOCAB = 5000 };

static float row[MAX_VOCAB], changed[MAX_VOCAB], largest[MAX_VOCAB / ROW_BLOCK + 1];
static struct candidate scratch[MAX_VOCAB];

/* Standard normal by Box and Muller. */
static double normal(struct rng *rng)
{
    return sqrt(-2 * log(1 - rng_unit(rng))) * cos(2 * M_PI * rng_unit(rng));
}

static void make_row(struct rng *rng, uint32_t n, double spread)
{
    for (uint32_t i = 0; i < n; i++) row[i] = (float)(normal(rng) * spread);
}

/* Of n logits, as a backend hands them over. */
static struct row measured(float *x, uint32_t n)
{
    const struct row r = { x, largest, n };
    for (uint32_t i = 0; i < row_n_blocks(n); i++) row_measure_block(&r, i);
    return r;
}

/* The token at `position`, after history[0 .. position - 1]. */
static struct picked pick_at(const pl_sampling *p, uint32_t n_vocab, const int32_t *history,
                              uint32_t position, uint32_t n_top)
{
    static uint32_t seat[MAX_VOCAB];
    static struct touch touch[MAX_VOCAB];
    const struct pick_room room = { seat, touch, pick_max_touched(n_vocab, position) };
    struct picked out;
    memcpy(changed, row, n_vocab * sizeof *row);
    const struct row all = measured(changed, n_vocab);
    const int32_t last = history && position ? history[position - 1] : NO_LAST;
    struct pick pick = pick_make(p, n_vocab, history, position, last, &room);
    assert_true(pick.n_touched <= room.max_touched);
    pick.wants_logprob = true;
    pick.n_top = n_top;
    sampler_pick(&pick, &all, scratch, &out);
    for (uint32_t i = 0; i < n_vocab; i++) assert_int_equal(seat[i], 0);
    return out;
}

static struct picked pick(const pl_sampling *p, uint32_t n_vocab, uint32_t n_top)
{
    return pick_at(p, n_vocab, NULL, 0, n_top);
}

/* ---- the reference -------------------------------------------------------------------------- */

struct entry {
    double logit, p, key;
    int32_t token;
};

static struct entry entries[MAX_VOCAB];
static uint32_t n_entries;

static int by_key(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->key != y->key) return x->key > y->key ? -1 : 1;
    return x->token - y->token;
}

static void normalise(double temperature)
{
    double max = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < n_entries; i++) max = fmax(max, entries[i].logit);
    for (uint32_t i = 0; i < n_entries; i++) {
        entries[i].p = exp((entries[i].logit - max) / temperature);
        sum += entries[i].p;
    }
    for (uint32_t i = 0; i < n_entries; i++) entries[i].p /= sum;
}

static void sort_by_logit(void)
{
    for (uint32_t i = 0; i < n_entries; i++) entries[i].key = entries[i].logit;
    qsort(entries, n_entries, sizeof *entries, by_key);
}

static void cut_at_mass(double mass)
{
    double sum = 0;
    uint32_t n = 0;
    while (n < n_entries && (n == 0 || sum < mass)) sum += entries[n++].p;
    n_entries = n;
}

/* entries becomes what the filters leave, with the probabilities to draw by. */
static void reference(const pl_sampling *p, const float *logits, uint32_t n)
{
    n_entries = 0;
    for (uint32_t i = 0; i < n; i++)
        if (logits[i] >= -FLT_MAX)
            entries[n_entries++] =
                (struct entry){ .logit = (double)logits[i], .token = (int32_t)i };
    sort_by_logit();
    if (p->top_k && p->top_k < n_entries) n_entries = p->top_k;
    normalise(1);
    if (p->typical_p < 1) {
        double entropy = 0;
        for (uint32_t i = 0; i < n_entries; i++)
            if (entries[i].p > 0) entropy -= entries[i].p * log(entries[i].p);
        for (uint32_t i = 0; i < n_entries; i++)
            entries[i].key = -fabs(-log(entries[i].p) - entropy);
        qsort(entries, n_entries, sizeof *entries, by_key);
        cut_at_mass((double)p->typical_p);
        sort_by_logit();
        normalise(1);
    }
    if (p->top_p < 1) {
        cut_at_mass((double)p->top_p);
        normalise(1);
    }
    if (p->min_p > 0) {
        uint32_t n_kept = 0;
        for (uint32_t i = 0; i < n_entries; i++)
            if (entries[i].p >= (double)p->min_p * entries[0].p) entries[n_kept++] = entries[i];
        n_entries = n_kept;
    }
    normalise((double)p->temperature);
}

static double reference_p(int32_t token)
{
    for (uint32_t i = 0; i < n_entries; i++)
        if (entries[i].token == token) return entries[i].p;
    return 0;
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void test_exp(void **state)
{
    (void)state;
    for (float x = 0; x > -87; x -= 0.00137f) {
        const double want = exp((double)x), got = (double)row_exp(x);
        if (fabs(got - want) > 2.4e-7 * want)
            fail_msg("exp(%g) = %g, want %g", (double)x, got, want);
    }
    assert_true(row_exp(-88) == 0);
    assert_true(row_exp(-INFINITY) == 0);
    assert_true(row_exp(NAN) == 0);
    assert_true(row_exp(0) == 1);
}

static void test_greedy(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 1);
    for (int round = 0; round < 300; round++) {
        const uint32_t n = 1 + (uint32_t)rng_below(&rng, MAX_VOCAB);
        pl_sampling p = pl_sampling_default();
        p.temperature = 0;
        make_row(&rng, n, 3);
        for (uint32_t i = 0; i < n / 7; i++) row[rng_below(&rng, n)] = NAN;
        for (uint32_t i = 0; i < n / 7; i++) row[rng_below(&rng, n)] = 9;   /* ties */
        int32_t want = -1;
        for (uint32_t i = 0; i < n; i++)
            if (row[i] >= -FLT_MAX && (want < 0 || row[i] > row[want])) want = (int32_t)i;
        assert_int_equal(pick(&p, n, 0).token, want);
    }
}

/* Their inverse is infinite, or as near as a float comes to it: the limit is the largest logit, the
 * first among equals, whatever else is asked for. */
static void test_temperatures_near_zero_are_greedy(void **state)
{
    (void)state;
    static const float near[] = { 1e-45f, 1e-40f, 2.9e-39f, 1e-38f, 1e-30f };
    struct rng rng;
    rng_seed(&rng, 8);
    for (size_t i = 0; i < sizeof near / sizeof *near; i++)
        for (int filter = 0; filter < 5; filter++) {
            const uint32_t n = 1000;
            pl_sampling p = pl_sampling_default();
            p.temperature = near[i];
            if (filter == 1) p.top_k = 40;
            if (filter == 2) p.top_p = 0.9f;
            if (filter == 3) p.min_p = 0.05f;
            if (filter == 4) p.typical_p = 0.9f;
            make_row(&rng, n, 3);
            row[70] = 50;
            assert_int_equal(pick(&p, n, 0).token, 70);
            const struct pick_room none = { 0 };
            const struct pick made = pick_make(&p, n, NULL, 0, NO_LAST, &none);
            assert_true(made.temperature == 0 || isfinite(1 / made.temperature));
        }
}

static void test_hopeless_rows(void **state)
{
    (void)state;
    for (int t = 0; t < 3; t++)
        for (int filter = 0; filter < 5; filter++) {
            static const float bad[] = { NAN, -INFINITY, INFINITY };
            pl_sampling p = pl_sampling_default();
            if (filter == 1) p.top_k = 5;
            if (filter == 2) p.top_p = 0.5f;
            if (filter == 3) p.typical_p = 0.5f;
            if (filter == 4) p.temperature = 0;
            for (int i = 0; i < 700; i++) row[i] = bad[t];
            assert_int_equal(pick(&p, 700, 3).token, -1);
            row[300] = -5;          /* the only one there is */
            assert_int_equal(pick(&p, 700, 3).token, 300);
        }
}

static void set_filters(pl_sampling *p, struct rng *rng, uint32_t which)
{
    *p = pl_sampling_default();
    p->seed = rng_u64(rng);
    p->temperature = (float)(0.3 + 1.4 * rng_unit(rng));
    if (which & 1) p->top_k = 1 + (uint32_t)rng_below(rng, 300);
    if (which & 2) p->top_p = (float)(0.02 + 0.96 * rng_unit(rng));
    if (which & 4) p->min_p = (float)(0.2 * rng_unit(rng));
    if (which & 8) p->typical_p = (float)(0.02 + 0.96 * rng_unit(rng));
}

/* Whatever the filters, only tokens that the reference keeps are drawn; and with a given draw the
 * same token, but where rounding decides between neighbours. */
static void test_filters_agree_with_reference(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 2);
    int n_near = 0, n_all = 0;
    for (uint32_t round = 0; round < 1200; round++) {
        const uint32_t n = 2 + (uint32_t)rng_below(&rng, round % 4 ? 600 : MAX_VOCAB - 2);
        pl_sampling p;
        set_filters(&p, &rng, round % 16);
        make_row(&rng, n, 1 + 3 * rng_unit(&rng));
        reference(&p, row, n);

        for (uint32_t draw = 0; draw < 20; draw++) {
            const struct picked got = pick_at(&p, n, NULL, draw, 0);
            const double u = rng_unit_at(p.seed, draw);
            n_all++;
            const bool is_sorted = n <= 512 || (p.top_k && p.top_k < n);
            if (round % 16 == 0 || (round % 16 == 1 && p.top_k >= n) || !is_sorted) {
                if (!(reference_p(got.token) > 0)) n_near++;   /* drawn in another order */
                continue;
            }
            double sum = 0;
            uint32_t i = 0;
            while (i + 1 < n_entries && (sum += entries[i].p) <= u) i++;
            if (entries[i].token != got.token) n_near++;
        }
    }
    /* a few in a hundred thousand would be near a border by chance */
    assert_in_range(n_near, 0, n_all / 1000);
}

static void test_draws_follow_distribution(void **state)
{
    (void)state;
    enum { N_DRAWS = 20000 };
    struct rng rng;
    rng_seed(&rng, 3);
    for (uint32_t round = 0; round < 32; round++) {     /* few candidates, then many */
        const uint32_t which = round % 16, N = round < 16 ? 50 : 1500;
        uint32_t count[1500] = { 0 };
        pl_sampling p;
        set_filters(&p, &rng, which);
        p.min_p *= 0.2f;
        make_row(&rng, N, 1.5);
        reference(&p, row, N);
        for (uint32_t i = 0; i < N_DRAWS; i++) count[pick_at(&p, N, NULL, i, 0).token]++;

        double chi2 = 0;
        uint32_t n_cells = 0, n_outside = 0;    /* rounding may decide on one at the border */
        for (int32_t t = 0; t < (int32_t)N; t++) {
            const double want = N_DRAWS * reference_p(t);
            if (want == 0) n_outside += count[t];
            if (want < 5) continue;
            chi2 += (count[t] - want) * (count[t] - want) / want;
            n_cells++;
        }
        /* mean n - 1 and variance 2 (n - 1): five standard deviations above is no chance */
        const double degrees = n_cells > 1 ? n_cells - 1 : 1;
        if (chi2 > degrees + 5 * sqrt(2 * degrees))
            fail_msg("filters %u: chi2 %.1f over %u cells", which, chi2, n_cells);
        assert_in_range(n_outside, 0, N_DRAWS / 2000);
    }
}

static void test_penalties_and_bias(void **state)
{
    (void)state;
    enum { N = 300 };
    struct rng rng;
    rng_seed(&rng, 4);
    for (int round = 0; round < 500; round++) {
        int32_t history[100];
        const uint32_t n_history = (uint32_t)rng_below(&rng, 100);
        for (uint32_t i = 0; i < n_history; i++) history[i] = (int32_t)rng_below(&rng, 40);
        pl_logit_bias bias[5];
        for (int i = 0; i < 5; i++)
            bias[i] = (pl_logit_bias){ (int32_t)rng_below(&rng, 40),
                                       i ? (float)normal(&rng) : -INFINITY };
        pl_sampling p = pl_sampling_default();
        p.temperature = 0;
        p.repetition_penalty = (float)(0.5 + rng_unit(&rng));
        p.frequency_penalty = (float)normal(&rng);
        p.presence_penalty = (float)normal(&rng);
        p.penalty_last_n = (uint32_t)rng_below(&rng, 120);
        p.bias = bias;
        p.n_bias = rng_below(&rng, 6);
        make_row(&rng, N, 2);

        double want[N], sum = 0;
        for (int i = 0; i < N; i++) {
            uint32_t count = 0;
            const uint32_t from = n_history > p.penalty_last_n ? n_history - p.penalty_last_n : 0;
            for (uint32_t j = from; j < n_history; j++) count += history[j] == i;
            want[i] = (double)row[i];
            sum += exp(want[i]);
            if (count) {
                want[i] *= want[i] > 0 ? 1 / (double)p.repetition_penalty
                                       : (double)p.repetition_penalty;
                want[i] -= count * (double)p.frequency_penalty + (double)p.presence_penalty;
            }
            for (size_t j = 0; j < p.n_bias; j++)
                if (bias[j].token == i) want[i] += (double)bias[j].bias;
        }
        int best = 0;
        for (int i = 1; i < N; i++)
            if (want[i] > want[best]) best = i;

        const struct picked got = pick_at(&p, N, history, n_history, 0);
        if (got.token != best) assert_true(fabs(want[got.token] - want[best]) < 1e-4);
        /* of the distribution as the model gave it */
        assert_true(fabs((double)got.logprob - ((double)row[got.token] - log(sum))) < 1e-5);
    }
}

/* Whatever was drawn before, or whether anything was: seed and position alone say. */
static void test_a_position_draws_the_same_again(void **state)
{
    (void)state;
    enum { N = 900, N_POSITIONS = 50 };
    struct rng rng;
    rng_seed(&rng, 6);
    pl_sampling p = pl_sampling_default();
    p.seed = 77;
    make_row(&rng, N, 1);
    int32_t in_order[N_POSITIONS];
    uint32_t n_other = 0;
    for (uint32_t i = 0; i < N_POSITIONS; i++) in_order[i] = pick_at(&p, N, NULL, i, 0).token;
    for (uint32_t i = N_POSITIONS; i-- > 0;)
        assert_int_equal(pick_at(&p, N, NULL, i, 0).token, in_order[i]);
    p.seed = 78;
    for (uint32_t i = 0; i < N_POSITIONS; i++)
        n_other += pick_at(&p, N, NULL, i, 0).token != in_order[i];
    assert_in_range(n_other, N_POSITIONS - 5, N_POSITIONS);
}

/* What does not fit is not written, is told, and leaves the room as it was. */
static void test_a_room_that_is_too_small(void **state)
{
    (void)state;
    enum { N = 100, N_HISTORY = 30 };
    int32_t history[N_HISTORY];
    uint32_t seat[N] = { 0 };
    struct touch touch[N];
    const pl_logit_bias bias[] = { { 70, 1 }, { 3, 2 }, { 70, 0.5f } };
    pl_sampling p = pl_sampling_default();
    for (int i = 0; i < N_HISTORY; i++) history[i] = i % 10;
    p.presence_penalty = 1;
    p.bias = bias;
    p.n_bias = 3;
    for (uint32_t max = 0; max < 14; max++) {
        memset(touch, 0x55, sizeof touch);
        const struct pick_room room = { seat, touch, max };
        const struct pick pick =
            pick_make(&p, N, history, N_HISTORY, history[N_HISTORY - 1], &room);
        assert_int_equal(pick.n_touched, max < 11 ? max + 1 : 11);  /* 10 tokens and token 70 */
        if (max >= 11) assert_true(touch[10].token == 70 && touch[10].bias == 1.5f);
        assert_int_equal(touch[max].token, 0x55555555);
        for (int i = 0; i < N; i++) assert_int_equal(seat[i], 0);
    }
}

static void test_top_and_score(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 5);
    for (int round = 0; round < 300; round++) {
        const uint32_t n = 1 + (uint32_t)rng_below(&rng, 2000);
        make_row(&rng, n, 2);
        for (uint32_t i = 0; i < n / 3; i++) row[rng_below(&rng, n)] = 1;   /* ties */
        double sum = 0;
        for (uint32_t i = 0; i < n; i++) sum += exp((double)row[i]);
        pl_sampling p = pl_sampling_default();
        reference(&p, row, n);

        const struct picked got = pick(&p, n, 20);
        pl_token_prob top[20];
        const struct row all = measured(row, n);
        const float nll = sampler_score(&all, entries[0].token, 20, top);
        assert_true(fabs((double)nll + (entries[0].logit - log(sum))) < 1e-5);
        assert_int_equal(got.n_top, n < 20 ? n : 20);
        for (uint32_t i = 0; i < got.n_top; i++) {
            assert_int_equal(got.top[i].token, entries[i].token);
            assert_int_equal(top[i].token, entries[i].token);
            assert_true(fabs((double)top[i].logprob - (entries[i].logit - log(sum))) < 1e-5);
        }
        if (n < 20) assert_int_equal(top[19].token, -1);
    }
    const struct row ten = measured(row, 10);
    assert_true(isinf(sampler_score(&ten, -1, 0, NULL)));
    assert_true(isinf(sampler_score(&ten, 10, 0, NULL)));
}

/* A mask gives what the row gives whose other logits are none, whatever else is asked for; what is
 * said of the token is said of the row as it came. */
static void test_masks(void **state)
{
    (void)state;
    static float unmasked[MAX_VOCAB], other[MAX_VOCAB];
    static uint32_t seat[MAX_VOCAB], mask[MAX_VOCAB / 32 + 1];
    static struct touch touch[MAX_VOCAB];
    struct rng rng;
    rng_seed(&rng, 9);
    for (uint32_t round = 0; round < 600; round++) {
        const uint32_t n = 2 + (uint32_t)rng_below(&rng, MAX_VOCAB - 2);
        const uint32_t one_in = 1 + (uint32_t)rng_below(&rng, round % 3 ? 40 : 3000);
        const struct pick_room room = { seat, touch, pick_max_touched(n, 64) };
        int32_t history[64];
        struct picked want, got;
        pl_sampling p;
        set_filters(&p, &rng, round % 16);
        if (round % 5 == 0) p.temperature = 0;
        if (round % 2) p.repetition_penalty = 1.3f;
        if (round % 7 == 0) p.presence_penalty = 0.5f;
        make_row(&rng, n, 2);
        memcpy(unmasked, row, n * sizeof *row);
        for (int i = 0; i < 64; i++) history[i] = (int32_t)rng_below(&rng, n);
        memset(mask, round % 11 ? 0 : 0xff, sizeof mask);
        for (uint32_t t = 0; t < n; t++)
            if (t == n / 2 || rng_below(&rng, one_in) == 0) mask[t / 32] |= 1u << (t % 32);

        struct pick pick = pick_make(&p, n, history, 64, history[63], &room);
        pick.wants_logprob = true;
        pick.n_top = 5;
        memcpy(other, row, n * sizeof *row);
        for (uint32_t t = 0; t < n; t++)
            if (!(mask[t / 32] >> (t % 32) & 1)) other[t] = -INFINITY;
        const struct row by_hand = measured(other, n);
        sampler_pick(&pick, &by_hand, scratch, &want);

        pick = pick_make(&p, n, history, 64, history[63], &room);
        pick.wants_logprob = true;
        pick.n_top = 5;
        pick.mask = mask;
        const struct row whole = measured(row, n);
        sampler_pick(&pick, &whole, scratch, &got);
        assert_int_equal(got.token, want.token);
        assert_true(mask[got.token / 32] >> (got.token % 32) & 1);
        const struct row raw = measured(unmasked, n);
        pl_token_prob top[5];
        assert_float_equal(got.logprob, -sampler_score(&raw, got.token, 5, top), 1e-5);
        assert_int_equal(got.top[0].token, top[0].token);
    }
    memset(mask, 0, sizeof mask);
    const pl_sampling p = pl_sampling_default();
    const struct pick_room none = { 0 };
    struct pick pick = pick_make(&p, 700, NULL, 0, NO_LAST, &none);
    struct picked got;
    pick.mask = mask;
    make_row(&rng, 700, 1);
    const struct row all = measured(row, 700);
    sampler_pick(&pick, &all, scratch, &got);
    assert_int_equal(got.token, -1);
}

static void test_check_names_the_value(void **state)
{
    (void)state;
    pl_err err;
    pl_sampling p = pl_sampling_default();
    assert_int_equal(sampling_check(&p, 100, &err), PL_OK);
    p.temperature = -1;
    assert_int_equal(sampling_check(&p, 100, &err), PL_E_PARAM);
    assert_non_null(strstr(err.text, "temperature"));
    p = pl_sampling_default();
    p.top_p = NAN;
    assert_int_equal(sampling_check(&p, 100, &err), PL_E_PARAM);
    assert_non_null(strstr(err.text, "top_p"));
    p = pl_sampling_default();
    pl_logit_bias bias = { 100, 1 };
    p.bias = &bias;
    p.n_bias = 1;
    assert_int_equal(sampling_check(&p, 100, &err), PL_E_PARAM);
    assert_non_null(strstr(err.text, "99"));
    bias = (pl_logit_bias){ 99, INFINITY };
    assert_int_equal(sampling_check(&p, 100, &err), PL_E_PARAM);
    bias.bias = -INFINITY;
    assert_int_equal(sampling_check(&p, 100, &err), PL_OK);
    p.n_bias = SAMPLING_MAX_BIAS + 1;
    assert_int_equal(sampling_check(&p, 100, &err), PL_E_PARAM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exp),
        cmocka_unit_test(test_greedy),
        cmocka_unit_test(test_temperatures_near_zero_are_greedy),
        cmocka_unit_test(test_hopeless_rows),
        cmocka_unit_test(test_filters_agree_with_reference),
        cmocka_unit_test(test_draws_follow_distribution),
        cmocka_unit_test(test_penalties_and_bias),
        cmocka_unit_test(test_a_position_draws_the_same_again),
        cmocka_unit_test(test_a_room_that_is_too_small),
        cmocka_unit_test(test_top_and_score),
        cmocka_unit_test(test_masks),
        cmocka_unit_test(test_check_names_the_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
