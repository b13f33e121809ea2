#include "backend/self_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/self_model.h"
#include "base/rng.h"
#include "quant/quant.h"

enum { N_COMPARED = 4 };        /* streams whose logits are compared with the reference's */

/* Of the error, relative to the logits' own size: the CPU rounds activations to 8 bits, which gives
 * 1.3 to 1.6 %, 8-bit floats in the KV pool up to 4 %; a wrong operation gives far more. */
static double max_error(const struct self_params *p)
{
    return p->k_type == KV_F8_E4M3 || p->v_type == KV_F8_E4M3 ? 0.09 : 0.04;
}

struct test {
    const struct backend_ops *ops;
    self_test_fn *fn;
    void *arg;
    uint32_t n_checks, n_failed;
};

static void report(struct test *t, const char *what, bool is_ok, const char *text)
{
    t->n_checks++;
    t->n_failed += !is_ok;
    t->fn(t->arg, what, is_ok, text);
}

/* ---- runs ----------------------------------------------------------------------------------- */

/* The prompts of some streams, whole, one after another. */
static pl_status run_prompts(struct self_model *m, uint32_t n_streams, pl_err *err)
{
    pl_status st = PL_OK;
    for (uint32_t s = 0; s < n_streams && !st; s++)
        st = self_model_step(m, &(struct self_piece){ s, 0, SELF_POSITIONS }, 1, err);
    return st;
}

/* Each position of each stream in a step of its own. */
static pl_status run_alone(struct self_model *m, uint32_t n_streams, uint32_t n_positions,
                           pl_err *err)
{
    pl_status st = PL_OK;
    for (uint32_t s = 0; s < n_streams; s++)
        for (uint32_t pos = 0; pos < n_positions && !st; pos++)
            st = self_model_step(m, &(struct self_piece){ s, pos, 1 }, 1, err);
    return st;
}

/* All streams together, a position each, so that each step has n_streams columns. */
static pl_status run_together(struct self_model *m, uint32_t n_streams, uint32_t n_positions,
                              pl_err *err)
{
    struct self_piece piece[SELF_STREAMS];
    pl_status st = PL_OK;
    for (uint32_t pos = 0; pos < n_positions && !st; pos++) {
        for (uint32_t s = 0; s < n_streams; s++)
            piece[s] = (struct self_piece){ (s * 7 + pos) % n_streams, pos, 1 };
        st = self_model_step(m, piece, n_streams, err);
    }
    return st;
}

/* Pieces of random lengths. */
static pl_status run_chunks(struct self_model *m, uint32_t n_streams, uint32_t n_positions,
                            pl_err *err)
{
    uint32_t done[SELF_STREAMS] = { 0 }, n_left = n_streams;
    struct self_piece piece[SELF_STREAMS];
    struct rng r;
    pl_status st = PL_OK;
    rng_seed(&r, 5);
    while (n_left && !st) {
        uint32_t n = 0, n_cols = 0;
        for (uint32_t s = 0; s < n_streams; s++) {
            const uint32_t rest = n_positions - done[s],
                           most = rest < 120 - n_cols ? rest : 120 - n_cols;
            if (!most || rng_below(&r, 2)) continue;
            piece[n] = (struct self_piece){ s, done[s], 1 + (uint32_t)rng_below(&r, most) };
            n_cols += piece[n].n_cols;
            done[s] += piece[n].n_cols;
            n_left -= done[s] == n_positions;
            n++;
        }
        if (n) st = self_model_step(m, piece, n, err);
    }
    return st;
}

/* ---- checks --------------------------------------------------------------------------------- */

static void check_near(struct test *t, const char *what, const struct self_model *m,
                       const struct self_model *reference, const struct self_params *p)
{
    double error = 0, size = 0;
    char text[96];
    for (uint32_t s = 0; s < N_COMPARED; s++)
        for (uint32_t pos = 0; pos < SELF_POSITIONS; pos++)
            for (uint32_t i = 0; i < SELF_VOCAB; i++) {
                const double want = self_model_logits(reference, s, pos)[i];
                const double got = self_model_logits(m, s, pos)[i];
                error += (got - want) * (got - want);
                size += want * want;
            }
    error = sqrt(error / size);
    snprintf(text, sizeof text, "error %.2f %% of the logits' size, at most %.0f %%", 100 * error,
             100 * max_error(p));
    report(t, what, error < max_error(p), text);        /* not a number is no success */
}

static void check_same(struct test *t, const char *what, const struct self_model *m,
                       const float *want, uint32_t n_streams, uint32_t n_positions)
{
    char text[96] = "every bit as alone";
    bool is_same = true;
    for (uint32_t s = 0; s < n_streams && is_same; s++)
        for (uint32_t pos = 0; pos < n_positions && is_same; pos++) {
            is_same = !memcmp(self_model_logits(m, s, pos),
                              want + (size_t)(s * n_positions + pos) * SELF_VOCAB,
                              SELF_VOCAB * sizeof *want);
            if (!is_same)
                snprintf(text, sizeof text, "stream %u position %u differs from itself alone", s,
                         pos);
        }
    report(t, what, is_same, text);
}

/* With the exact backend; that one with the CPU's plain code. */
static pl_status compare(struct test *t, const char *what, const struct self_params *p, pl_err *err)
{
    struct self_params scalar = *p;
    struct self_model *m = NULL, *reference = NULL;
    scalar.isa = "scalar";
    const bool is_exact = t->ops == backend_find("exact");
    pl_status st = self_model_open(&reference, backend_find(is_exact ? "cpu" : "exact"), &scalar,
                                   err);
    if (!st) st = self_model_open(&m, t->ops, p, err);
    if (!st) st = run_prompts(reference, N_COMPARED, err);
    if (!st) st = run_prompts(m, N_COMPARED, err);
    if (!st) check_near(t, what, m, reference, p);
    self_model_close(reference);
    self_model_close(m);
    return st;
}

/* Streams together against each alone, in steps of 1 to 64 columns. */
static pl_status compare_columns(struct test *t, pl_err *err)
{
    enum { N_POSITIONS = 18 };
    static const uint32_t n_together[] = { 2, 8, 9, 17, 24, 33, 48, 57, 64 };
    const struct self_params p = { .type = QUANT_Q4_K, .has_biases = true };
    const size_t n = (size_t)SELF_STREAMS * N_POSITIONS * SELF_VOCAB;
    float *alone = malloc(n * sizeof *alone);
    struct self_model *m = NULL;
    char what[48];
    pl_status st = alone ? self_model_open(&m, t->ops, &p, err)
                         : pl_fail(err, PL_E_MEMORY, "no memory for the self-test's logits");
    if (!st) st = run_alone(m, SELF_STREAMS, N_POSITIONS, err);
    for (uint32_t s = 0; s < SELF_STREAMS && !st; s++)
        for (uint32_t pos = 0; pos < N_POSITIONS; pos++)
            memcpy(alone + (size_t)(s * N_POSITIONS + pos) * SELF_VOCAB,
                   self_model_logits(m, s, pos), SELF_VOCAB * sizeof *alone);
    for (size_t i = 0; i < sizeof n_together / sizeof *n_together && !st; i++) {
        self_model_start(m, 2 + i);
        st = run_together(m, n_together[i], N_POSITIONS, err);
        snprintf(what, sizeof what, "%u columns a step", n_together[i]);
        if (!st) check_same(t, what, m, alone, n_together[i], N_POSITIONS);
    }
    if (!st) {
        self_model_start(m, 99);
        st = run_chunks(m, 20, N_POSITIONS, err);
    }
    if (!st) check_same(t, "prompts in random pieces", m, alone, 20, N_POSITIONS);
    self_model_close(m);
    free(alone);
    return st;
}

/* ---- tokens that the backend picks ---------------------------------------------------------- */

enum { N_SAYING = 9, N_SAID = 24 };

/* A third of the streams each: the largest, from all, from the five best. Of some, what they said
 * just now is less likely, one token more and one forbidden; of some the log-probability is wanted.
 */
static void fill_picks(struct pick *pick)
{
    static struct touch touch[] = { { .token = 7, .bias = -INFINITY }, { .token = 40, .bias = 3 } };
    struct rng r;
    rng_seed(&r, 11);
    for (uint32_t i = 0; i < N_SAYING * N_SAID; i++) {
        pick[i] = (struct pick){ .is_by_backend = true, .temperature = i % 3 ? 0.8f : 0,
                                 .top_k = i % 3 == 2 ? 5 : 0, .top_p = 1, .unit = rng_unit(&r),
                                 .last = NO_LAST, .wants_logprob = i % 5 == 0 };
        if (i % 4) continue;
        pick[i].last = 0;
        pick[i].repetition_penalty = 1.5f;
        pick[i].presence_penalty = 4;
        pick[i].touch = touch;
        pick[i].n_touched = sizeof touch / sizeof *touch;
    }
}

/* The logits that the token is drawn by. */
static void touch_logits(float *x, const float *logits, const struct pick *p, int32_t last)
{
    memcpy(x, logits, SELF_VOCAB * sizeof *x);
    if (p->last != NO_LAST) {
        x[last] = x[last] > 0 ? x[last] / p->repetition_penalty : x[last] * p->repetition_penalty;
        x[last] -= p->presence_penalty;
    }
    for (uint32_t i = 0; i < p->n_touched; i++) x[p->touch[i].token] += p->touch[i].bias;
}

static bool is_logprob(const float *logits, int32_t token, float logprob)
{
    double sum = 0;
    for (uint32_t i = 0; i < SELF_VOCAB; i++) sum += exp((double)logits[i] - (double)logits[token]);
    return fabs((double)logprob + log(sum)) < 1e-4;
}

/* The token's place in the order of what is drawn from: by token, or best first, the first of
 * equals first. */
static bool comes_before(const float *logits, bool is_by_token, uint32_t a, uint32_t b)
{
    if (is_by_token || logits[a] == logits[b]) return a < b;
    return logits[a] > logits[b];
}

/* Whether the drawn number lies where the token does, or as near to it as rounding may bring it. */
static bool is_drawn(const float *logits, const struct pick *p, uint32_t token)
{
    const double tolerance = 1e-5;
    double before = 0, own = 0, all = 0;
    for (uint32_t i = 0; i < SELF_VOCAB; i++) {
        uint32_t rank = 0;
        for (uint32_t k = 0; k < SELF_VOCAB; k++) rank += comes_before(logits, false, k, i);
        const uint32_t n_kept = p->temperature > 0 ? p->top_k ? p->top_k : SELF_VOCAB : 1;
        if (rank >= n_kept) continue;
        const double scale = p->temperature > 0 ? 1 / (double)p->temperature : 1;
        const double weight = exp(((double)logits[i] - (double)logits[token]) * scale);
        all += weight;
        if (i == token) own = weight;
        else if (comes_before(logits, !p->top_k, i, token)) before += weight;
    }
    return own > 0 && before <= (p->unit + tolerance) * all &&
           before + own >= (p->unit - tolerance) * all;
}

static void check_picks(struct test *t, const struct self_model *m, const struct pick *pick)
{
    char text[96] = "each where its random number lies";
    bool is_right = true;
    for (uint32_t i = 0; i < N_SAYING * N_SAID && is_right; i++) {
        const uint32_t s = i % N_SAYING, pos = i / N_SAYING;
        const int32_t token = self_model_tokens(m, s)[pos + 1];
        const float *logits = self_model_logits(m, s, pos);
        float touched[SELF_VOCAB];
        touch_logits(touched, logits, &pick[i], self_model_tokens(m, s)[pos]);
        is_right = token >= 0 && token < SELF_VOCAB &&
                   is_drawn(touched, &pick[i], (uint32_t)token) &&
                   (!pick[i].wants_logprob ||
                    is_logprob(logits, token, self_model_logprobs(m, s)[pos + 1]));
        if (!is_right)
            snprintf(text, sizeof text, "stream %u position %u: %d does not follow from the logits",
                     s, pos, (int)token);
    }
    report(t, "tokens picked", is_right, text);
}

/* Picked one step after the other, each looked up in the logits that another pass gives; and with
 * each step on top of the one before. */
static pl_status compare_picks(struct test *t, pl_err *err)
{
    const struct self_params p = { .type = QUANT_Q8_0, .has_biases = true };
    static struct pick pick[N_SAYING * N_SAID];
    int32_t said[N_SAYING][N_SAID + 1];
    struct self_model *m = NULL;
    bool is_same = true;
    if (!t->ops->start) return PL_OK;
    fill_picks(pick);
    pl_status st = self_model_open(&m, t->ops, &p, err);
    if (!st) st = self_model_say(m, pick, N_SAYING, N_SAID, false, err);
    if (!st) st = run_alone(m, N_SAYING, N_SAID, err);
    if (!st) check_picks(t, m, pick);
    for (uint32_t s = 0; s < N_SAYING && !st; s++)
        memcpy(said[s], self_model_tokens(m, s), sizeof said[s]);
    if (!st) {
        self_model_start(m, 7);
        st = self_model_say(m, pick, N_SAYING, N_SAID, true, err);
    }
    for (uint32_t s = 0; s < N_SAYING && !st; s++)
        is_same &= !memcmp(said[s], self_model_tokens(m, s), sizeof said[s]);
    if (!st)
        report(t, "steps that run ahead", is_same,
               is_same ? "the same tokens" : "other tokens than one after the other");
    self_model_close(m);
    return st;
}

pl_status backend_self_test(const struct backend_ops *ops, self_test_fn *fn, void *arg, pl_err *err)
{
    static const uint32_t types[] = {
        QUANT_Q4_0,   QUANT_Q4_1,   QUANT_Q5_0, QUANT_Q5_1, QUANT_Q8_0,
        QUANT_Q2_K,   QUANT_Q3_K,   QUANT_Q4_K, QUANT_Q5_K, QUANT_Q6_K,
        QUANT_IQ4_NL, QUANT_IQ4_XS, QUANT_F16,  QUANT_BF16, QUANT_F32,
        QUANT_MXFP4,
    };
    struct test t = { .ops = ops, .fn = fn, .arg = arg };
    char what[48];
    pl_status st = PL_OK;

    for (size_t i = 0; i < sizeof types / sizeof *types && !st; i++) {
        const struct self_params p = { .type = types[i], .has_biases = i % 2 == 0 };
        snprintf(what, sizeof what, "weights of %s", quant_traits(types[i])->name);
        st = compare(&t, what, &p, err);
    }
    for (int i = 0; i < N_KV_TYPES && !st; i++) {
        const struct self_params p = { .type = QUANT_Q8_0, .k_type = (enum kv_type)i,
                                       .v_type = (enum kv_type)(N_KV_TYPES - 1 - i), .window = 20,
                                       .has_biases = i % 2 == 0 };
        snprintf(what, sizeof what, "keys %s, values %s", kv_type_name(p.k_type),
                 kv_type_name(p.v_type));
        st = compare(&t, what, &p, err);
    }
    const struct self_params gates = { .type = QUANT_Q8_0, .has_biases = true,
                                       .has_large_gates = true };
    if (!st) st = compare(&t, "gates of 20 and 88", &gates, err);
    if (!st) st = compare_columns(&t, err);
    if (!st) st = compare_picks(&t, err);
    if (st || !t.n_failed) return st;
    return pl_fail(err, PL_E_INTERNAL, "%u of %u checks failed", t.n_failed, t.n_checks);
}
