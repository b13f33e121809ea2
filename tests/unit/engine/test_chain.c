/* Samplers in every order against a twin in Python (tests/golden/make_chain_cases.py), against the
 * sampler's own way, and against what is said of them. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "engine/chain.h"
#include "engine/sampler.h"
#include "engine/sampler_mirostat.h"
#include "engine/sampler_order.h"
#include "engine/sampling_params.h"
#include "unit/engine/chain_cases.h"

enum { MAX_VOCAB = 6000 };

static float logits[MAX_VOCAB], changed[MAX_VOCAB], largest[MAX_VOCAB / ROW_BLOCK + 1];
static struct candidate scratch[MAX_VOCAB];
static uint32_t seat[MAX_VOCAB];
static struct touch touch[MAX_VOCAB];

/* As in make_chain_cases.py. */
static const char *bytes_of(const void *arg, int32_t token, size_t *n_bytes)
{
    static const char *const words[] = { "\n", " so:", "*", "\"", "en", "d." };
    static char letter[2];
    (void)arg;
    snprintf(letter, sizeof letter, "%c", (char)(60 + token % 60));
    const char *text = token < 6 ? words[token] : letter;
    *n_bytes = strlen(text);
    return text;
}

/* The token behind a history, of settled sampling; *mu goes on. */
static struct picked pick_behind(const pl_sampling *p, uint32_t n_vocab, const int32_t *history,
                                 uint32_t n, double *mu)
{
    const struct pick_room room = { seat, touch, pick_max_touched(n_vocab, n) };
    const struct dry_text text = { history, n, bytes_of, NULL };
    const struct row row = { changed, largest, n_vocab };
    struct picked out;
    struct chain chain;
    memcpy(changed, logits, n_vocab * sizeof *logits);
    for (uint32_t i = 0; i < row_n_blocks(n_vocab); i++) row_measure_block(&row, i);
    struct pick pick = pick_make(p, n_vocab, history, n, n ? history[n - 1] : NO_LAST, &room);
    pick.wants_logprob = true;
    if (!p->n_order) {
        sampler_pick(&pick, &row, scratch, &out);
        return out;
    }
    chain_open(&chain, p, *mu, &text, scratch, n_vocab, &pick, &room);
    assert_true(pick.n_touched <= room.max_touched);
    sampler_pick(&pick, &row, scratch, &out);
    chain_close(&pick, &room);
    *mu = chain.next_mu;
    for (uint32_t i = 0; i < n_vocab; i++) assert_int_equal(seat[i], 0);
    return out;
}

static double raw_logprob(uint32_t n_vocab, int32_t token)
{
    double sum = 0;
    for (uint32_t i = 0; i < n_vocab; i++) sum += exp((double)logits[i]);
    return (double)logits[token] - log(sum);
}

static void make_logits(struct rng *rng, uint32_t n, double spread)
{
    for (uint32_t i = 0; i < n; i++)
        logits[i] = (float)(spread * sqrt(-2 * log(1 - rng_unit(rng))) *
                            cos(2 * M_PI * rng_unit(rng)));
}

static void test_the_twin_picks_the_same(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof chain_cases / sizeof *chain_cases; k++) {
        const struct chain_case *c = &chain_cases[k];
        pl_sampling p = c->sampling;
        p.dry_breaker = c->breaker;
        p.n_dry_breakers = c->n_breakers;
        assert_int_equal(sampling_check(&p, CASE_VOCAB, NULL), PL_OK);
        sampler_order_settle(&p);
        assert_true(p.n_order > 0);
        double mu = mirostat_first(&p);
        for (int i = 0; i < CASE_VOCAB; i++) logits[i] = (float)c->eighths[i] / 8;
        for (uint32_t i = 0; i < CASE_SEEDS; i++) {
            p.seed = c->seed + i;
            const struct picked got = pick_behind(&p, CASE_VOCAB, c->history, c->n_history, &mu);
            if (got.token != c->token[i])
                fail_msg("case %zu, seed %u: token %d, %d is wanted", k, i, got.token, c->token[i]);
            if (fabs((double)got.logprob - raw_logprob(CASE_VOCAB, got.token)) > 1e-5)
                fail_msg("case %zu, seed %u: log-probability %g", k, i, (double)got.logprob);
            if (c->mu[0] != 0 && fabs(mu - c->mu[i]) > 1e-5)
                fail_msg("case %zu, seed %u: mu %.7f, %.7f is wanted", k, i, mu, c->mu[i]);
        }
    }
}

/* The default order written down is the one there is without, and by a chain it does the same. */
static void test_the_plain_order_is_the_same_by_a_chain(void **state)
{
    (void)state;
    struct rng rng;
    int32_t history[50];
    uint32_t n_other = 0;
    rng_seed(&rng, 3);
    for (uint32_t round = 0; round < 3000; round++) {
        const uint32_t n = 2 + (uint32_t)rng_below(&rng, 500);
        double mu = 0;
        pl_sampling p = pl_sampling_default();
        p.seed = round;
        p.temperature = (float)(0.3 + 1.4 * rng_unit(&rng));
        if (round & 1) p.top_k = 1 + (uint32_t)rng_below(&rng, 100);
        if (round & 2) p.top_p = (float)(0.02 + 0.96 * rng_unit(&rng));
        if (round & 4) p.min_p = (float)(0.2 * rng_unit(&rng));
        if (round & 8) p.typical_p = (float)(0.02 + 0.96 * rng_unit(&rng));
        if (round & 16) p.repetition_penalty = 1.3f;
        if (!(round & 14) && p.top_k - 1 >= n - 1) continue;    /* drawn in the order of tokens */
        make_logits(&rng, n, 2);
        for (int i = 0; i < 50; i++) history[i] = (int32_t)rng_below(&rng, n);
        const int32_t want = pick_behind(&p, n, history, 50, &mu).token;

        pl_sampling named = p;
        for (uint8_t s = 0; s < PL_N_SAMPLERS; s++) named.order[named.n_order++] = s;
        sampler_order_settle(&named);
        assert_int_equal(named.n_order, 0);
        assert_int_equal(pick_behind(&named, n, history, 50, &mu).token, want);
        for (uint8_t s = 0; s < PL_N_SAMPLERS; s++)
            if (s == PL_SAMPLER_TEMPERATURE || (s == PL_SAMPLER_PENALTIES && round & 16) ||
                (s == PL_SAMPLER_TOP_K && round & 1) || (s == PL_SAMPLER_TOP_P && round & 2) ||
                (s == PL_SAMPLER_MIN_P && round & 4) || (s == PL_SAMPLER_TYPICAL && round & 8))
                named.order[named.n_order++] = s;
        n_other += pick_behind(&named, n, history, 50, &mu).token != want;
    }
    assert_in_range(n_other, 0, 3);         /* rounding may decide now and then */
}

/* Which order an order becomes: names of samplers that are off do not matter. */
static void test_what_is_left_of_an_order(void **state)
{
    (void)state;
    pl_sampling p = pl_sampling_default();
    p.temperature = 0.8f;
    p.top_k = 40;
    p.top_p = 0.9f;
    p.min_p = 0.1f;
    static const char *const same[] = { "edskypmxt", "kpmt", "dkxpsmt", "kkpmt", "kpmta" };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        pl_sampling q = p;
        for (const char *c = same[i]; *c; c++)
            assert_int_equal(pl_sampling_add(&q, c, 1, NULL), PL_OK);
        sampler_order_settle(&q);
        assert_int_equal(q.n_order, 0);
        assert_true(q.top_k == 40 && q.top_p == 0.9f && q.min_p == 0.1f && q.temperature == 0.8f);
    }
    pl_sampling q = p;
    assert_int_equal(pl_sampling_add(&q, "top_k", 5, NULL), PL_OK);
    sampler_order_settle(&q);               /* the others are left out */
    assert_int_equal(q.n_order, 0);
    assert_true(q.top_k == 40 && q.top_p == 1 && q.min_p == 0 && q.temperature == 1);

    q = p;
    for (const char *c = "tpk"; *c; c++) assert_int_equal(pl_sampling_add(&q, c, 1, NULL), PL_OK);
    sampler_order_settle(&q);
    assert_int_equal(q.n_order, 3);
    assert_int_equal(q.order[0], PL_SAMPLER_TEMPERATURE);
    assert_int_equal(q.order[2], PL_SAMPLER_TOP_K);
    q.mirostat = 2;
    sampler_order_settle(&q);
    assert_true(q.n_order == 1 && q.order[0] == PL_SAMPLER_TEMPERATURE && q.top_k == 0);
    q.temperature = 0;
    sampler_order_settle(&q);
    assert_true(q.n_order == 0 && q.mirostat == 0);     /* greedy */
}

static void test_names_that_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = { "", "q", "top-k", "TOP_K", "typ_p ", "infill" };
    pl_sampling p = pl_sampling_default();
    pl_err err;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(pl_sampling_add(&p, names[i], strlen(names[i]), &err), PL_E_PARAM);
    assert_int_equal(pl_sampling_add(&p, "\0", 1, &err), PL_E_PARAM);
    assert_int_equal(pl_sampling_add(&p, "xtc", 3, &err), PL_OK);
    assert_int_equal(pl_sampling_add(&p, "dry", 3, &err), PL_OK);
    assert_int_equal(pl_sampling_add(&p, "x", 1, &err), PL_E_PARAM);
    assert_non_null(strstr(err.text, "xtc stands in the order of samplers twice"));
    assert_int_equal(p.n_order, 2);
}

/* How long the repetition is that each token would go on with, by looking. */
static uint32_t length_by_hand(const int32_t *history, uint32_t n, int32_t token)
{
    uint32_t longest = 0;
    for (uint32_t at = 1; at < n; at++) {
        uint32_t k = 0;
        while (k < at && history[at - 1 - k] == history[n - 1 - k]) k++;
        if (history[at] == token && k > longest) longest = k;
    }
    return longest;
}

static void test_repetitions_of_few_tokens(void **state)
{
    (void)state;
    static int32_t history[400];
    struct rng rng;
    rng_seed(&rng, 9);
    for (uint32_t round = 0; round < 400; round++) {
        const uint32_t n = 1 + (uint32_t)rng_below(&rng, 400), n_kinds = 1 + round % 3;
        pl_sampling p = pl_sampling_default();
        p.dry_multiplier = 1;
        p.dry_allowed_length = 1 + round % 4;
        for (uint32_t i = 0; i < n; i++) history[i] = 10 + (int32_t)rng_below(&rng, n_kinds);
        struct pick pick = { .touch = touch, .last = NO_LAST };
        const struct pick_room room = { seat, touch, MAX_VOCAB };
        const struct dry_text text = { history, n, bytes_of, NULL };
        dry_measure(&p, &text, scratch, MAX_VOCAB, &pick, &room);
        for (int32_t t = 10; t < 13; t++) {
            const uint32_t want = length_by_hand(history, n, t), got = seat[t] & 0xffff;
            assert_int_equal(got, want >= p.dry_allowed_length ? want + 1 : 0);
        }
        dry_forget(&pick, &room);
    }
}

/* However long a repetition, there is a token to be said. */
static void test_a_reply_of_one_token_goes_on(void **state)
{
    (void)state;
    static int32_t history[5000];
    double mu = 0;
    pl_sampling p = pl_sampling_default();
    p.dry_multiplier = 100;
    p.dry_base = 100;
    p.temperature = 0;
    sampler_order_settle(&p);
    for (int i = 0; i < 5000; i++) history[i] = 7;
    for (int i = 0; i < MAX_VOCAB; i++) logits[i] = i == 7 ? 9 : i == 11 ? 3 : 0;
    assert_int_equal(pick_behind(&p, MAX_VOCAB, history, 5000, &mu).token, 11);
    for (int i = 0; i < MAX_VOCAB; i++) logits[i] = i == 7 ? 9 : -INFINITY;
    assert_int_equal(pick_behind(&p, MAX_VOCAB, history, 5000, &mu).token, 7);
    logits[7] = NAN;
    assert_int_equal(pick_behind(&p, MAX_VOCAB, history, 5000, &mu).token, -1);
}

/* XTC is drawn as often as it says, by another number than the token is. */
static void test_how_often_top_choices_go(void **state)
{
    (void)state;
    enum { N = 20000 };
    uint32_t n_first = 0;
    double mu = 0;
    pl_sampling p = pl_sampling_default();
    p.xtc_probability = 0.25f;
    sampler_order_settle(&p);
    for (int i = 0; i < 100; i++) logits[i] = i == 3 ? 8 : i == 4 ? 7 : 0;
    static int32_t history[1];
    for (p.seed = 0; p.seed < N; p.seed++)
        n_first += pick_behind(&p, 100, history, 1, &mu).token == 3;
    double sum = exp(8) + exp(7) + 98;
    const double want = 0.75 * exp(8) / sum;
    assert_float_equal((double)n_first / N, want, 5 * sqrt(want * (1 - want) / N));
}

/* Over many tokens the surprises come to tau, in both versions. */
static void test_mirostat_comes_to_its_surprise(void **state)
{
    (void)state;
    enum { N = 2000, VOCAB = 3000 };
    static int32_t history[N + 1];
    struct rng rng;
    rng_seed(&rng, 12);
    for (uint32_t version = 1; version <= 2; version++)
        for (int tau = 2; tau <= 5; tau++) {
            pl_sampling p = pl_sampling_default();
            p.mirostat = version;
            p.mirostat_tau = (float)tau;
            p.seed = 5;
            sampler_order_settle(&p);
            double mu = mirostat_first(&p), before = mu, sum = 0;
            for (uint32_t i = 1; i <= N; i++, before = mu) {
                if (i % 16 == 1) make_logits(&rng, VOCAB, 3);
                pick_behind(&p, VOCAB, history, i, &mu);
                sum += (before - mu) / (double)p.mirostat_eta + tau;
            }
            assert_float_equal(sum / N, tau, 0.15);
        }
}

static void test_check_names_the_value(void **state)
{
    (void)state;
    static const char *const breaker[] = { "\n", "0123456789012345678901234567890123456789x" };
    pl_err err;
    pl_sampling p = pl_sampling_default();
    p.dry_multiplier = 1;
    p.dry_base = 0.5f;
    assert_int_equal(sampling_check(&p, 100, &err), PL_E_PARAM);
    assert_non_null(strstr(err.text, "dry_base is 0.5; 1 to 100"));
    p = pl_sampling_default();
    p.dry_breaker = breaker;
    p.n_dry_breakers = 2;
    assert_int_equal(sampling_check(&p, 100, &err), PL_E_PARAM);
    assert_non_null(strstr(err.text, "breaker 1 of DRY has 41 bytes; 1 to 40"));
    p = pl_sampling_default();
    p.mirostat = 3;
    assert_int_equal(sampling_check(&p, 100, &err), PL_E_PARAM);
    assert_non_null(strstr(err.text, "mirostat is 3; 0 to 2"));
    p = pl_sampling_default();
    p.n_order = 2;                          /* penalties, penalties */
    assert_int_equal(sampling_check(&p, 100, &err), PL_E_PARAM);
    assert_non_null(strstr(err.text, "sampler 1 of the order is 0"));
    p.order[1] = PL_N_SAMPLERS;
    assert_int_equal(sampling_check(&p, 100, &err), PL_E_PARAM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_twin_picks_the_same),
        cmocka_unit_test(test_the_plain_order_is_the_same_by_a_chain),
        cmocka_unit_test(test_what_is_left_of_an_order),
        cmocka_unit_test(test_names_that_are_refused),
        cmocka_unit_test(test_repetitions_of_few_tokens),
        cmocka_unit_test(test_a_reply_of_one_token_goes_on),
        cmocka_unit_test(test_how_often_top_choices_go),
        cmocka_unit_test(test_mirostat_comes_to_its_surprise),
        cmocka_unit_test(test_check_names_the_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
