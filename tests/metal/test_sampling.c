/* Tokens picked by the GPU that the build has: what sampling in double precision picks, but where
 * the random number lies within rounding of a border; the same token whatever rows are beside; and
 * columns that begin with a token picked. */
#include "../kernels/file_types.h"

#include "backend/metal/sampling.h"
#include "metal_fixture.h"

enum { MAX_OUTS = 64 };

#define PICK(temperature_, top_k_, top_p_, min_p_, unit_)                                          \
    {                                                                                              \
        .is_by_backend = true, .temperature = (temperature_), .top_k = (top_k_),                   \
        .top_p = (top_p_), .min_p = (min_p_), .unit = (unit_), .last = NO_LAST                     \
    }

static const double tolerance = 1e-5;   /* of the mass: twice what sampling.metal promises */

/* n_tokens: of n_vocab rows, those with a token. */
static struct metal_backend *open_padded(uint32_t n_vocab, uint32_t n_tokens)
{
    const struct backend_params params = {
        .dims = { .d_model = 64, .d_head = 32, .d_ff = 64, .n_heads = 2, .n_kv_heads = 1,
                  .n_layers = 1, .n_vocab = n_vocab },
        .n_tokens = n_tokens, .max_cols = 8, .max_outs = MAX_OUTS, .n_threads = 1,
        .kv = { .n = 1, .group = { { .n_layers = 1, .n_pages = 4 } } },
    };
    struct metal_backend *b = fixture_open_as(&params);
    pl_err err;
    if (backend_metal.load_done(&b->base, &err)) fail_msg("%s", err.text);
    return b;
}

static struct metal_backend *open_vocabulary(uint32_t n_vocab)
{
    return open_padded(n_vocab, n_vocab);
}

/* ---- rows ----------------------------------------------------------------------------------- */

enum row_kind { NORMAL, PEAKED, FLAT, LEVELS, NEAR_TIES, HOLES, LOW, N_KINDS };

static float random_logit(struct rng *r, enum row_kind kind)
{
    switch (kind) {
    case PEAKED: return 12 * random_normal(r);
    case FLAT: return 1.5f;
    case LEVELS: return (float)rng_below(r, 6) - 2;
    case NEAR_TIES: return 8 + (float)rng_below(r, 40) * 0x1p-20f;
    case HOLES:
        switch (rng_below(r, 4)) {
        case 0: return NAN;
        case 1: return -INFINITY;
        case 2: return rng_below(r, 2) ? -0.0f : 0.0f;
        default: return random_normal(r);
        }
    case LOW: return -1000 + 4 * random_normal(r);
    default: return 3 * random_normal(r);
    }
}

static void fill_row(struct rng *r, float *row, uint32_t n, enum row_kind kind)
{
    for (uint32_t i = 0; i < n; i++) row[i] = random_logit(r, kind);
}

static float *row_of(const struct metal_backend *b, uint32_t i)
{
    return (float *)b->logit_rows.bytes + (size_t)i * b->ld_vocab;
}

/* As kernel `largest` does. */
static void measure_row(const struct metal_backend *b, uint32_t row)
{
    float *to = (float *)b->largest.bytes + (size_t)row * b->n_logit_blocks;
    for (uint32_t i = 0; i < b->n_logit_blocks; i++) to[i] = -INFINITY;
    for (uint32_t i = 0; i < backend_n_tokens(&b->params); i++)
        to[i / LOGIT_BLOCK] = fmaxf(to[i / LOGIT_BLOCK], row_of(b, row)[i]);
}

static const int32_t not_written = -7;

/* The tokens of n rows that are in b's rows of logits; good until the next run of this parity. */
static const int32_t *run(struct metal_backend *b, const struct pick *pick, uint32_t n,
                          uint32_t parity)
{
    int32_t *token = metal_sampling_tokens(b, parity)->bytes;
    for (uint32_t i = 0; i < n; i++) measure_row(b, i);
    for (uint32_t i = 0; i < MAX_OUTS; i++) token[i] = not_written;
    metal_begin(b->device);
    metal_sampling_record(b, pick, n, parity);
    fixture_finish(b);
    return token;
}

/* ---- double precision ----------------------------------------------------------------------- */

struct item {
    float value;
    int32_t token;
};

struct twin {
    struct item *best;          /* (n_finite) best first */
    uint32_t n_vocab, n_finite;
    float max;
};

static int by_value(const void *pa, const void *pb)
{
    const struct item *a = pa, *b = pb;
    if (a->value != b->value) return a->value > b->value ? -1 : 1;
    return (a->token > b->token) - (a->token < b->token);
}

static int by_token(const void *pa, const void *pb)
{
    const struct item *a = pa, *b = pb;
    return (a->token > b->token) - (a->token < b->token);
}

static struct twin open_twin(const float *row, uint32_t n_vocab)
{
    struct twin t = { .best = malloc(n_vocab * sizeof *t.best), .n_vocab = n_vocab };
    assert_non_null(t.best);
    for (uint32_t i = 0; i < n_vocab; i++)
        if (isfinite(row[i])) t.best[t.n_finite++] = (struct item){ row[i], (int32_t)i };
    qsort(t.best, t.n_finite, sizeof *t.best, by_value);
    t.max = t.n_finite ? t.best[0].value : 0;
    return t;
}

static bool is_greedy(const struct pick *p)
{
    return p->temperature == 0 || p->top_k == 1;
}

static bool has_filters(const struct twin *t, const struct pick *p)
{
    return (p->top_k && p->top_k < t->n_vocab) || p->top_p < 1 || p->min_p > 0;
}

/* How many of the best the filters leave, top-p's mass being off by `off` of all. */
static uint32_t n_kept(const struct twin *t, const struct pick *p, double off)
{
    uint32_t n = t->n_finite, j = 0;
    if (p->top_k && p->top_k < n) n = p->top_k;
    if (p->top_p < 1) {
        double all = 0, sum = 0;
        for (uint32_t i = 0; i < n; i++) all += exp((double)t->best[i].value - t->max);
        while (j < n && (j == 0 || sum < ((double)p->top_p + off) * all))
            sum += exp((double)t->best[j++].value - t->max);
        n = j;
    }
    if (p->min_p > 0)
        while (t->best[n - 1].value < t->max + logf(p->min_p)) n--;
    return n;
}

/* How far the target lies from the interval of `token` among the n best, in parts of the mass: 0
 * within. */
static double distance(const struct twin *t, const struct pick *p, uint32_t n, int32_t token)
{
    struct item *c = malloc(n * sizeof *c);
    double all = 0, sum = 0, result = INFINITY;
    assert_non_null(c);
    memcpy(c, t->best, n * sizeof *c);
    if (!has_filters(t, p) || n > MANY_CANDIDATES) qsort(c, n, sizeof *c, by_token);
    for (uint32_t i = 0; i < n; i++) all += exp(((double)c[i].value - t->max) / p->temperature);
    const double target = p->unit * all;
    for (uint32_t i = 0; i < n; i++) {
        const double weight = exp(((double)c[i].value - t->max) / p->temperature);
        if (c[i].token == token && weight > 0)
            result = fmax(0, fmax(sum - target, target - (sum + weight))) / all;
        sum += weight;
    }
    free(c);
    return result;
}

/* The least distance over all that may be kept. */
static double distance_of(const struct twin *t, const struct pick *p, int32_t token)
{
    if (!t->n_finite) return token == -1 ? 0 : INFINITY;
    if (is_greedy(p)) return token == t->best[0].token ? 0 : INFINITY;
    double least = INFINITY;
    const uint32_t first = n_kept(t, p, -tolerance), last = n_kept(t, p, tolerance);
    assert_true(last - first < 1000);
    for (uint32_t n = first; n <= last; n++) least = fmin(least, distance(t, p, n, token));
    return least;
}

static void check_token(const struct metal_backend *b, uint32_t row, const struct pick *p,
                        int32_t token, const char *what)
{
    const struct twin t = open_twin(row_of(b, row), b->params.dims.n_vocab);
    const double far = distance_of(&t, p, token);
    if (!(far <= tolerance))
        fail_msg("%s, row %u of %u tokens: temperature %g top_k %u top_p %g min_p %g unit %.9f: "
                 "token %d lies %.3g beside", what, row, t.n_vocab, p->temperature, p->top_k,
                 p->top_p, p->min_p, p->unit, token, far);
    free(t.best);
}

/* ---- near double precision ------------------------------------------------------------------ */

#define ONE_OF(r, list) (list)[rng_below(r, COUNT(list))]

static struct pick random_pick(struct rng *r, uint32_t n_vocab)
{
    static const float temperatures[] = { 0, 0.01f, 0.7f, 1, 1, 1.5f, 10, 100 };
    static const float top_ps[] = { 0, 0.1f, 0.5f, 0.9f, 0.95f, 0.999f, 1, 1, 1 };
    static const float min_ps[] = { 0, 0, 0, 0, 1e-6f, 0.05f, 0.5f, 1 };
    const uint32_t top_ks[] = { 0, 0, 0, 1, 2, 40, 511, 512, 513, n_vocab - 1, n_vocab,
                                1 + (uint32_t)rng_below(r, n_vocab) };
    return (struct pick){
        .is_by_backend = true, .temperature = ONE_OF(r, temperatures), .top_k = ONE_OF(r, top_ks),
        .top_p = ONE_OF(r, top_ps), .min_p = ONE_OF(r, min_ps), .unit = rng_unit(r),
            .last = NO_LAST,
    };
}

static void tokens_are_near_exact(void **state)
{
    (void)state;
    static const uint32_t vocabularies[] = { 1, 255, 1000, 5003 };
    struct pick pick[MAX_OUTS];
    struct rng r;
    rng_seed(&r, 23);
    for (size_t v = 0; v < COUNT(vocabularies); v++) {
        struct metal_backend *b = open_vocabulary(vocabularies[v]);
        for (int kind = 0; kind < N_KINDS; kind++) {
            for (uint32_t i = 0; i < MAX_OUTS; i++) {
                fill_row(&r, row_of(b, i), vocabularies[v], (enum row_kind)kind);
                pick[i] = random_pick(&r, vocabularies[v]);
            }
            const int32_t *token = run(b, pick, MAX_OUTS, 0);
            for (uint32_t i = 0; i < MAX_OUTS; i++) check_token(b, i, &pick[i], token[i], "random");
        }
        fixture_close(b);
    }
}

static void large_vocabularies_are_near_exact(void **state)
{
    (void)state;
    static const struct {
        enum row_kind kind;
        struct pick pick;
    } rows[] = {
        { NORMAL, PICK(0, 0, 1, 0, 0) },
        { NORMAL, PICK(1, 0, 1, 0, 0.7) },
        { NORMAL, PICK(0.8f, 40, 0.9f, 0, 0.2) },
        { PEAKED, PICK(0.8f, 0, 0.95f, 0, 0.9) },
        { NORMAL, PICK(1, 0, 0.95f, 0, 0.4) },
        { NORMAL, PICK(1.5f, 0, 1, 0.02f, 0.6) },
        { LEVELS, PICK(1, 100001, 1, 0, 0.99) },
    };
    struct metal_backend *b = open_vocabulary(152064);
    struct pick pick[COUNT(rows)];
    struct rng r;
    rng_seed(&r, 5);
    for (uint32_t i = 0; i < COUNT(rows); i++) {
        fill_row(&r, row_of(b, i), 152064, rows[i].kind);
        pick[i] = rows[i].pick;
    }
    const int32_t *token = run(b, pick, COUNT(rows), 0);
    for (uint32_t i = 0; i < COUNT(rows); i++) check_token(b, i, &pick[i], token[i], "large");
    fixture_close(b);
}

/* ---- borders -------------------------------------------------------------------------------- */

/* Of equal values the first tokens are kept: the last of them is what the highest numbers pick. */
static void ties_are_cut_by_token(void **state)
{
    (void)state;
    static const uint32_t top_ks[] = { 2, 3, 255, 256, 257, 511, 512, 513, 999 };
    struct metal_backend *b = open_vocabulary(1000);
    struct pick pick[2 * COUNT(top_ks)];
    for (uint32_t i = 0; i < COUNT(pick); i++) {
        const uint32_t k = top_ks[i / 2];
        for (uint32_t c = 0; c < 1000; c++) row_of(b, i)[c] = -2;
        pick[i] = (struct pick)PICK(1, k, 1, 0, (k - 0.5) / k);
        if (i % 2) {            /* the same number by mass */
            pick[i].top_k = 0;
            pick[i].top_p = ((float)k - 0.5f) / 1000;
        }
    }
    const int32_t *token = run(b, pick, COUNT(pick), 0);
    for (uint32_t i = 0; i < COUNT(pick); i++) assert_int_equal(token[i], top_ks[i / 2] - 1);
    fixture_close(b);
}

static void borders_of_parameters_keep_what_they_should(void **state)
{
    (void)state;
    static const double last = 1 - 0x1p-53;
    const struct {
        struct pick pick;
        int32_t token;
    } rows[] = {                /* values: 3 at 700 and 20, 2 at 5, 1 elsewhere */
        { PICK(0, 0, 1, 0, 0.5), 20 },      { PICK(1, 1, 1, 0, 0.99), 20 },
        { PICK(1, 0, 0, 0, last), 20 },     { PICK(1, 2, 1, 0, 0.49), 20 },
        { PICK(1, 2, 1, 0, 0.51), 700 },    { PICK(1, 3, 1, 0, last), 5 },
        { PICK(1, 0, 1, 1, last), 700 },    { PICK(1, 0, 1, 0.36f, last), 5 },
        { PICK(1, 0, 1, 0.37f, last), 700 }, { PICK(1, 0, 1, 0, 0), 0 },
        { PICK(1, 0, 1, 0, last), 999 },    { PICK(1, 4, 1, 0, last), 0 },
        { PICK(0.01f, 0, 1, 0, 0.25), 20 }, { PICK(0.01f, 0, 1, 0, 0.75), 700 },
        { PICK(1, 5, 0.01f, 1, last), 20 }, { PICK(1, 5000, 1, 0, last), 999 },
        { PICK(1e-40f, 0, 1, 0, last), 20 }, { PICK(1e-40f, 40, 0.9f, 0, last), 20 },
    };
    struct metal_backend *b = open_vocabulary(1000);
    struct pick pick[COUNT(rows)];
    for (uint32_t i = 0; i < COUNT(rows); i++) {
        float *row = row_of(b, i);
        for (uint32_t c = 0; c < 1000; c++) row[c] = 1;
        row[700] = row[20] = 3;
        row[5] = 2;
        pick[i] = rows[i].pick;
    }
    const int32_t *token = run(b, pick, COUNT(rows), 1);
    for (uint32_t i = 0; i < COUNT(rows); i++)
        if (token[i] != rows[i].token)
            fail_msg("row %u: token %d, wanted %d", i, token[i], rows[i].token);
    fixture_close(b);
}

/* Rows of the head beyond the vocabulary hold the largest logits by far, and infinities. */
static void what_has_no_token_is_never_picked(void **state)
{
    (void)state;
    static const uint32_t n_tokens[] = { 1, 255, 256, 257, 700, 1023 };
    struct rng r;
    rng_seed(&r, 12);
    for (size_t k = 0; k < COUNT(n_tokens); k++) {
        struct metal_backend *b = open_padded(1024, n_tokens[k]);
        struct pick pick[MAX_OUTS];
        for (uint32_t i = 0; i < MAX_OUTS; i++) {
            fill_row(&r, row_of(b, i), 1024, i % 2 ? NORMAL : FLAT);
            for (uint32_t c = n_tokens[k]; c < 1024; c++)
                row_of(b, i)[c] = i % 3 ? 100 : INFINITY;
            pick[i] = random_pick(&r, n_tokens[k]);
        }
        const int32_t *token = run(b, pick, MAX_OUTS, 0);
        for (uint32_t i = 0; i < MAX_OUTS; i++)
            if (token[i] < 0 || (uint32_t)token[i] >= n_tokens[k])
                fail_msg("%u tokens, row %u: token %d", n_tokens[k], i, token[i]);
        fixture_close(b);
    }
}

static void rows_that_are_not_finite(void **state)
{
    (void)state;
    const struct pick picks[] = {
        PICK(0, 0, 1, 0, 0),           PICK(1, 0, 1, 0, 0.999),
        PICK(1, 3, 0.9f, 0, 0.999), PICK(1, 0, 1, 0.1f, 0.999),
    };
    enum { N = 600, N_ROWS = 6 };
    struct metal_backend *b = open_vocabulary(N);
    for (uint32_t p = 0; p < COUNT(picks); p++) {
        struct pick pick[N_ROWS];
        for (uint32_t i = 0; i < N_ROWS; i++) {
            pick[i] = picks[p];
            for (uint32_t c = 0; c < N; c++)
                row_of(b, i)[c] = i == 0 ? -INFINITY : i == 1 ? NAN : i == 2 ? INFINITY : NAN;
        }
        row_of(b, 3)[599] = -3e38f;                                     /* one token */
        row_of(b, 4)[300] = INFINITY, row_of(b, 4)[301] = -5;           /* beside an infinity */
        row_of(b, 5)[3] = INFINITY, row_of(b, 5)[599] = 3.4e38f;        /* in another block */
        const int32_t *token = run(b, pick, N_ROWS, 0);
        const int32_t wanted[N_ROWS] = { -1, -1, -1, 599, 301, 599 };
        assert_memory_equal(token, wanted, sizeof wanted);
    }
    fixture_close(b);
}

/* ---- frequencies ---------------------------------------------------------------------------- */

/* Numbers at even steps: each token comes as often as its interval is wide, to one step. */
static void frequencies_are_probabilities(void **state)
{
    (void)state;
    enum { N = 700, STEPS = 8 * MAX_OUTS };
    static const struct pick picks[] = {
        PICK(1, 0, 1, 0, 0), PICK(0.7f, 20, 0.9f, 0, 0), PICK(2, 0, 1, 0.1f, 0),
    };
    struct metal_backend *b = open_vocabulary(N);
    struct rng r;
    rng_seed(&r, 11);
    fill_row(&r, row_of(b, 0), N, NORMAL);
    for (uint32_t i = 1; i < MAX_OUTS; i++) memcpy(row_of(b, i), row_of(b, 0), N * sizeof(float));
    const struct twin t = open_twin(row_of(b, 0), N);
    for (uint32_t p = 0; p < COUNT(picks); p++) {
        uint32_t count[N] = { 0 };
        struct pick pick[MAX_OUTS];
        for (uint32_t first = 0; first < STEPS; first += MAX_OUTS) {
            for (uint32_t i = 0; i < MAX_OUTS; i++) {
                pick[i] = picks[p];
                pick[i].unit = (first + i + 0.5) / STEPS;
            }
            const int32_t *token = run(b, pick, MAX_OUTS, 0);
            for (uint32_t i = 0; i < MAX_OUTS; i++) count[token[i]]++;
        }
        const uint32_t n = n_kept(&t, &picks[p], 0);
        double all = 0;
        for (uint32_t i = 0; i < n; i++)
            all += exp(((double)t.best[i].value - t.max) / picks[p].temperature);
        for (uint32_t i = 0; i < t.n_finite; i++) {
            const double share =
                i < n ? exp(((double)t.best[i].value - t.max) / picks[p].temperature) / all : 0;
            const double off = fabs(count[t.best[i].token] - share * STEPS);
            if (off > (i < n ? 1.01 : 0))
                fail_msg("pick %u: token %d came %u times of %d, probability %g", p,
                         t.best[i].token, count[t.best[i].token], STEPS, share);
        }
    }
    free(t.best);
    fixture_close(b);
}

/* A neighbour's token must not pass for a row's own, or nothing here says much. */
static void the_reference_tells_tokens_apart(void **state)
{
    (void)state;
    const float row[] = { 1, 2, 2, 0 };
    const struct pick by_token_order = PICK(1, 0, 1, 0, 0.5);
    const struct pick best_first = PICK(1, 3, 1, 0, 0.1);
    const struct twin t = open_twin(row, 4);
    for (int32_t token = -1; token < 4; token++) {
        assert_true((distance_of(&t, &by_token_order, token) <= tolerance) == (token == 1));
        assert_true((distance_of(&t, &best_first, token) <= tolerance) == (token == 1));
    }
    free(t.best);
}

/* ---- every row as alone --------------------------------------------------------------------- */

static void rows_are_as_alone(void **state)
{
    (void)state;
    enum { N = 3001 };
    struct metal_backend *b = open_vocabulary(N);
    float *rows = malloc(sizeof(float) * N * MAX_OUTS);
    struct pick pick[MAX_OUTS];
    int32_t together[MAX_OUTS];
    struct rng r;
    assert_non_null(rows);
    rng_seed(&r, 77);
    for (uint32_t i = 0; i < MAX_OUTS; i++) {
        fill_row(&r, rows + i * N, N, (enum row_kind)(i % N_KINDS));
        memcpy(row_of(b, i), rows + i * N, N * sizeof(float));
        pick[i] = random_pick(&r, N);
    }
    memcpy(together, run(b, pick, MAX_OUTS, 1), sizeof together);
    for (uint32_t i = 0; i < MAX_OUTS; i++) {
        memset(b->logit_rows.bytes, 0xff, b->logit_rows.n_bytes);
        memcpy(row_of(b, 0), rows + i * N, N * sizeof(float));
        assert_int_equal(run(b, &pick[i], 1, 0)[0], together[i]);
    }
    free(rows);
    fixture_close(b);
}

/* Blocks that a border leaves out weigh nothing, whatever the rows before left in memory. */
static void sums_of_steps_before_do_not_linger(void **state)
{
    (void)state;
    enum { N = 2000, N_BEST = 600 };
    struct metal_backend *b = open_vocabulary(N);
    const struct pick all = PICK(100, 0, 1, 0, 0.5), best = PICK(100, N_BEST, 1, 0, 0.9999);
    for (uint32_t c = 0; c < N; c++) row_of(b, 0)[c] = c < N_BEST ? 1 : 0;
    const int32_t of_all = run(b, &all, 1, 0)[0], of_best = run(b, &best, 1, 0)[0];
    assert_true(of_all > N_BEST);
    assert_int_equal(of_best, N_BEST - 1);
    fixture_close(b);
}

static void tokens_of_the_host_and_of_the_other_step_are_left_alone(void **state)
{
    (void)state;
    struct metal_backend *b = open_vocabulary(300);
    struct pick pick[3] = { PICK(0, 0, 1, 0, 0), { 0 }, PICK(0, 0, 1, 0, 0) };
    for (uint32_t i = 0; i < 3; i++)
        for (uint32_t c = 0; c < 300; c++) row_of(b, i)[c] = c == 100 * i ? 1 : 0;
    const int32_t *first = run(b, pick, 3, 0), wanted[] = { 0, not_written, 200 };
    assert_memory_equal(first, wanted, sizeof wanted);
    row_of(b, 0)[9] = 2;
    const int32_t *second = run(b, pick, 2, 1), then[] = { 9, not_written, not_written };
    assert_memory_equal(second, then, sizeof then);
    assert_memory_equal(first, wanted, sizeof wanted);
    pick[0].is_by_backend = false;
    assert_int_equal(run(b, pick, 2, 0)[0], not_written);
    fixture_close(b);
}

/* ---- columns that begin with a token picked ------------------------------------------------- */

static void columns_begin_with_tokens_of_the_step_before(void **state)
{
    (void)state;
    enum { N_COLS = 4 };
    for (int layout = 0; layout < FIXTURE_LAYOUTS; layout++) {
        fixture_set_layout(layout);
        struct metal_backend *b = open_vocabulary(64);
        const int32_t given[N_COLS] = { -1, 33, -3, -2 }, meant[N_COLS] = { 63, 33, 7, 0 };
        int32_t *picked = metal_sampling_tokens(b, (b->at + 1) % METAL_STEPS)->bytes;
        struct matrix *m;
        struct rng r;
        pl_err err;
        rng_seed(&r, 3);
        uint8_t *rows = random_rows(&r, &file_types[4], 64, 64, FILL_RANDOM);
        const struct weight_view view = { "embedding", QUANT_Q8_0, 64, 64, rows };
        if (backend_metal.load_matrix(&b->base, &view, &m, &err)) fail_msg("%s", err.text);
        if (backend_metal.load_done(&b->base, &err)) fail_msg("%s", err.text);
        float want[N_COLS][64];
        for (int is_given = 0; is_given < 2; is_given++) {
            picked[0] = 63;
            picked[1] = -1;     /* no finite logit: any row of the embedding, here the first */
            picked[2] = 7;
            memset(b->x.bytes, 0xff, b->x.n_bytes);
            memcpy(b->step[b->at].token.bytes, is_given ? given : meant, sizeof given);
            b->batch = (struct batch){ .n_cols = N_COLS };
            metal_begin(b->device);
            backend_metal.embed(&b->base, m, 2);
            fixture_finish(b);
            for (uint32_t c = 0; c < N_COLS; c++) {
                const float *x = (float *)b->x.bytes + c * b->ld_model;
                if (!is_given) memcpy(want[c], x, sizeof want[c]);
                else assert_memory_equal(x, want[c], sizeof want[c]);
            }
        }
        assert_memory_not_equal(want[0], want[2], sizeof want[0]);
        free(rows);
        fixture_close(b);
    }
    fixture_set_layout(0);
}

/* ---- no stray access, no race --------------------------------------------------------------- */

#ifdef PACELINE_METAL_EMULATED
static void every_route_runs_without_a_report(void **state)
{
    (void)state;
    struct touch touch[] = { { 3, 2, 1, 0 }, { 999, 0, -1, 0 }, { 1000, 1, 0, 0 } };
    const struct pick picks[] = {
        PICK(0, 0, 1, 0, 0),       PICK(1, 0, 1, 0, 0.5),  PICK(1, 30, 0.8f, 0, 0.9),
        PICK(1, 700, 1, 0, 0.999), PICK(1, 0, 1, 1, 0.2), { 0 },
        { .is_by_backend = true, .top_p = 1, .touch = touch, .n_touched = COUNT(touch),
          .presence_penalty = 0.5f, .last = 3, .n_top = PICK_MAX_TOP },
        { .is_by_backend = true, .top_p = 1, .repetition_penalty = 1.1f, .last = -1,
          .wants_logprob = true },
    };
    enum { N_PLAIN = COUNT(picks) - 3 };
    enum { N = 1001 };
    struct rng r;
    rng_seed(&r, 9);
    mock_set_build(EMU_CHECKED);
    struct metal_backend *b = open_vocabulary(N);
    mock_set_build(EMU_RUN);
    for (int kind = NORMAL; kind <= HOLES; kind++) {
        for (uint32_t i = 0; i < COUNT(picks); i++)
            fill_row(&r, row_of(b, i), N, (enum row_kind)kind);
        row_of(b, 1)[500] = INFINITY;
        const int32_t *token = run(b, picks, COUNT(picks), 0);
        for (uint32_t i = 0; i < N_PLAIN; i++)
            check_token(b, i, &picks[i], token[i], "checked");
    }
    fixture_close(b);
}
#endif

int main(int argc, char **argv)
{
    fixture_choose(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_are_near_exact),
        cmocka_unit_test(large_vocabularies_are_near_exact),
        cmocka_unit_test(ties_are_cut_by_token),
        cmocka_unit_test(borders_of_parameters_keep_what_they_should),
        cmocka_unit_test(what_has_no_token_is_never_picked),
        cmocka_unit_test(rows_that_are_not_finite),
        cmocka_unit_test(frequencies_are_probabilities),
        cmocka_unit_test(the_reference_tells_tokens_apart),
        cmocka_unit_test(rows_are_as_alone),
        cmocka_unit_test(sums_of_steps_before_do_not_linger),
        cmocka_unit_test(tokens_of_the_host_and_of_the_other_step_are_left_alone),
        cmocka_unit_test(columns_begin_with_tokens_of_the_step_before),
#ifdef PACELINE_METAL_EMULATED
        cmocka_unit_test(every_route_runs_without_a_report),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
