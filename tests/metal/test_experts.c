/* The mixture of experts of the Metal backend, on the GPU that the build has: near double
 * precision, and every bit of a column as it is alone, however many others there are and by
 * whichever kernel its products run. */
#include "../kernels/file_types.h"

#include "metal_fixture.h"

enum { MAX_COLS = 72, MAX_MODEL = 256, MAX_EXPERT = 256 };

static const float eps = 1e-6f;

struct setup {
    const char *name;
    uint32_t d_model, d_expert, d_ff, n_experts, n_used;    /* d_ff: the shared expert's; 0: none */
    uint32_t gate, up, down;    /* enum quant_type */
    bool is_normalised;
    enum activation activation;
    bool has_biases;
    struct router_params router;    /* n_groups 0: scores choose; else there is a bias too */
};

/* 72 columns of 2 out of 4 experts come in wide blocks. The shared expert's weights are small, so
 * that it does not hide the others. */
static const struct setup setups[] = {
    { "plain", 64, 32, 0, 4, 2, QUANT_Q8_0, QUANT_Q8_0, QUANT_Q8_0, true, ACTIVATION_SILU, false,
      { 0 } },
    { "shared", 64, 96, 64, 40, 8, QUANT_Q8_0, QUANT_Q8_0, QUANT_Q5_0, false, ACTIVATION_SILU,
      false, { 0 } },
    { "two types", 96, 64, 32, 5, 1, QUANT_Q4_1, QUANT_IQ4_NL, QUANT_Q5_1, false,
      ACTIVATION_GELU_TANH, false, { 0 } },
    { "all chosen", 256, 256, 0, 3, 3, QUANT_Q4_K, QUANT_Q4_K, QUANT_Q6_K, true, ACTIVATION_SILU,
      false, { 0 } },
    { "biases", 64, 96, 0, 6, 2, QUANT_MXFP4, QUANT_MXFP4, QUANT_MXFP4, true,
      ACTIVATION_SWIGLU_CLAMPED, true, { 0 } },
    { "groups", 64, 32, 64, 40, 4, QUANT_Q8_0, QUANT_Q8_0, QUANT_Q5_0, true, ACTIVATION_SILU, false,
      { .score = ROUTER_SIGMOID, .n_groups = 5, .n_groups_used = 2 } },
    { "groups by their best", 64, 32, 64, 40, 4, QUANT_Q8_0, QUANT_Q8_0, QUANT_Q5_0, true,
      ACTIVATION_SILU, false,
      { .score = ROUTER_SIGMOID, .n_groups = 5, .n_groups_used = 2, .ranks_by_best = true } },
    { "softmax in groups", 64, 32, 0, 12, 3, QUANT_Q8_0, QUANT_Q8_0, QUANT_Q5_0, false,
      ACTIVATION_SILU, false, { .score = ROUTER_SOFTMAX, .n_groups = 2, .n_groups_used = 1 } },
};

#define EXPERT_SCALE 1.5f
#define RESIDUAL_SCALE 0.7f

enum { GATE, UP, DOWN, SHARED_GATE, SHARED_UP, SHARED_DOWN, N_MATRICES };

struct bench {
    const struct setup *s;
    struct metal_backend *b;
    uint8_t *rows[N_MATRICES];
    const struct file_type *type[N_MATRICES];
    struct expert_weights w;
    struct vector *norm;
    struct ffn_params ffn;
    float *router, norm_weight[MAX_MODEL], shared_router[MAX_MODEL];
    float *bias[3], router_bias[64];    /* bias: of GATE, UP, DOWN; NULL: none */
    float choice_bias[64];
    float x[MAX_COLS][MAX_MODEL], alone[MAX_COLS][MAX_MODEL];
};

/* ---- an open model -------------------------------------------------------------------------- */

static const struct file_type *file_type_of(uint32_t type)
{
    for (size_t i = 0; i < COUNT(file_types); i++)
        if (file_types[i].type == type) return &file_types[i];
    fail_msg("no file type %u", type);
    return NULL;
}

static const struct matrix *load_matrix(struct bench *t, struct rng *r, int which, uint32_t type,
                                        uint32_t n_rows, uint32_t n_k)
{
    struct matrix *m = NULL;
    pl_err err;
    t->type[which] = file_type_of(type);
    t->rows[which] = random_rows(r, t->type[which], n_rows, n_k, FILL_RANDOM);
    const struct weight_view view = { "weight", type, n_rows, n_k, t->rows[which] };
    if (backend_metal.load_matrix(&t->b->base, &view, &m, &err)) fail_msg("%s", err.text);
    return m;
}

static struct vector *load_vector(struct bench *t, const float *values, uint32_t n)
{
    struct vector *v = NULL;
    pl_err err;
    if (backend_metal.load_vector(&t->b->base, values, n, &v, &err)) fail_msg("%s", err.text);
    return v;
}

static void load_shared(struct bench *t, struct rng *r)
{
    const struct setup *s = t->s;
    if (!s->d_ff) return;
    t->w.shared_gate.weight = load_matrix(t, r, SHARED_GATE, QUANT_Q4_0, s->d_ff, s->d_model);
    t->w.shared_up.weight = load_matrix(t, r, SHARED_UP, QUANT_Q4_0, s->d_ff, s->d_model);
    t->w.shared_down.weight = load_matrix(t, r, SHARED_DOWN, QUANT_Q4_0, s->d_model, s->d_ff);
    t->w.shared_router = load_vector(t, t->shared_router, s->d_model);
}

static const struct vector *load_bias(struct bench *t, struct rng *r, int which, uint32_t n)
{
    if (!t->s->has_biases) return NULL;
    t->bias[which] = calloc(n, sizeof *t->bias[which]);
    assert_non_null(t->bias[which]);
    for (uint32_t i = 0; i < n; i++) t->bias[which][i] = random_normal(r);
    return load_vector(t, t->bias[which], n);
}

/* change_router, unless NULL, is called before the router is loaded. */
static struct bench *open_bench(const struct setup *s, uint64_t seed,
                                void (*change_router)(struct bench *t))
{
    struct bench *t = calloc(1, sizeof *t);
    const struct backend_params params = {
        .dims = { .d_model = s->d_model, .d_head = 32, .d_shared = s->d_ff, .n_heads = 2,
                  .n_kv_heads = 1, .n_layers = 1, .n_vocab = 64, .n_experts = s->n_experts,
                  .n_experts_used = s->n_used, .d_expert = s->d_expert,
                  .has_expert_biases = s->has_biases },
        .max_cols = MAX_COLS, .max_outs = 8,
        .kv = { .n = 1, .group = { { .n_layers = 1, .n_pages = 4 } } },
        .n_threads = 1,
    };
    struct rng r;
    pl_err err;

    assert_non_null(t);
    rng_seed(&r, seed);
    t->s = s;
    t->router = calloc((size_t)s->n_experts * s->d_model, sizeof *t->router);
    assert_non_null(t->router);
    t->b = fixture_open_as(&params);
    for (uint32_t i = 0; i < s->n_experts * s->d_model; i++)
        t->router[i] = 2 * random_normal(&r) / sqrtf((float)s->d_model);
    for (uint32_t i = 0; i < s->d_model; i++) {
        t->norm_weight[i] = 1 + 0.2f * random_normal(&r);
        t->shared_router[i] = random_normal(&r) / sqrtf((float)s->d_model);
        for (uint32_t c = 0; c < MAX_COLS; c++) t->x[c][i] = 3 * random_normal(&r);
    }
    if (change_router) change_router(t);
    const uint32_t n_ff = s->n_experts * s->d_expert, n_out = s->n_experts * s->d_model;
    t->w.gate.weight = load_matrix(t, &r, GATE, s->gate, n_ff, s->d_model);
    t->w.up.weight = load_matrix(t, &r, UP, s->up, n_ff, s->d_model);
    t->w.down.weight = load_matrix(t, &r, DOWN, s->down, n_out, s->d_expert);
    t->w.gate.bias = load_bias(t, &r, GATE, n_ff);
    t->w.up.bias = load_bias(t, &r, UP, n_ff);
    t->w.down.bias = load_bias(t, &r, DOWN, n_out);
    for (uint32_t e = 0; e < s->n_experts && s->has_biases; e++)
        t->router_bias[e] = 2 * random_normal(&r);
    if (s->has_biases) t->w.router_bias = load_vector(t, t->router_bias, s->n_experts);
    t->w.router = load_vector(t, t->router, s->n_experts * s->d_model);
    for (uint32_t e = 0; e < s->n_experts && s->router.n_groups; e++)
        t->choice_bias[e] = 0.3f * random_normal(&r);
    if (s->router.n_groups) t->w.choice_bias = load_vector(t, t->choice_bias, s->n_experts);
    t->ffn = (struct ffn_params){ .activation = s->activation, .router = s->router };
    t->ffn.router.is_normalised = s->is_normalised;
    t->ffn.router.scale = EXPERT_SCALE;
    t->norm = load_vector(t, t->norm_weight, s->d_model);
    load_shared(t, &r);
    if (backend_metal.load_done(&t->b->base, &err)) fail_msg("%s", err.text);
    return t;
}

static void close_bench(struct bench *t)
{
    fixture_close(t->b);
    for (int i = 0; i < N_MATRICES; i++) free(t->rows[i]);
    for (int i = 0; i < 3; i++) free(t->bias[i]);
    free(t->router);
    free(t);
}

static float *x_of(const struct bench *t, uint32_t col)
{
    return (float *)t->b->x.bytes + (size_t)col * t->b->ld_model;
}

/* Columns [first, first + n) of the bench as those of a step; what is left of other steps in the
 * rows behind is made not a number. */
static void run(struct bench *t, uint32_t first, uint32_t n)
{
    struct metal_backend *b = t->b;
    memset(b->x.bytes, 0xff, b->x.n_bytes);
    memset(b->h.bytes, 0xff, b->h.n_bytes);
    for (uint32_t c = 0; c < n; c++)
        memcpy(x_of(t, c), t->x[first + c], t->s->d_model * sizeof(float));
    b->batch = (struct batch){ .n_cols = n };
    metal_begin(b->device);
    const struct norm norm = { t->norm, eps, false };
    backend_metal.norm(&b->base, &norm);
    backend_metal.experts_add(&b->base, &norm, &t->w, &t->ffn,
                              &(struct residual){ .scale = RESIDUAL_SCALE });
    fixture_finish(b);
}

/* ---- double precision ----------------------------------------------------------------------- */

static double as_half(double x)
{
    return f32_of_f16(f16_of_f32((float)x));
}

/* Weights are rounded once, to halves. */
static void exact_product(const struct bench *t, int which, uint32_t first_row, uint32_t n_rows,
                          uint32_t n_k, const double *x, double *out)
{
    float w[MAX_EXPERT];
    const uint32_t type = t->type[which]->type;
    for (uint32_t row = 0; row < n_rows; row++) {
        const uint8_t *from = t->rows[which] + (first_row + row) * quant_row_bytes(type, n_k);
        quant_dequantise(type, from, w, n_k);
        out[row] = 0;
        for (uint32_t k = 0; k < n_k; k++) out[row] += as_half(w[k]) * x[k];
        if (which <= DOWN && t->bias[which]) out[row] += (double)t->bias[which][first_row + row];
    }
}

static double activated(enum activation activation, double x, double up)
{
    if (activation == ACTIVATION_SILU) return x / (1 + exp(-x)) * up;
    if (activation == ACTIVATION_SWIGLU_CLAMPED)
        return fmin(x, 7) / (1 + exp(-1.702 * fmin(x, 7))) * (fmax(-7, fmin(up, 7)) + 1);
    return 0.5 * x * (1 + tanh(0.79788456080286536 * (x + 0.044715 * x * x * x))) * up;
}

/* sum += weight * what an expert of n rows makes of h; its matrices begin at `which`. */
static void exact_expert(const struct bench *t, int which, uint32_t expert, uint32_t n,
                         const double *h, double weight, double *sum)
{
    const uint32_t d_model = t->s->d_model;
    double gate[MAX_EXPERT], up[MAX_EXPERT], out[MAX_MODEL];
    exact_product(t, which + GATE, expert * n, n, d_model, h, gate);
    exact_product(t, which + UP, expert * n, n, d_model, h, up);
    for (uint32_t i = 0; i < n; i++)
        gate[i] = as_half(activated(t->s->activation, gate[i], up[i]) * ACT_SCALE) / ACT_SCALE;
    exact_product(t, which + DOWN, expert * d_model, d_model, n, gate, out);
    for (uint32_t i = 0; i < d_model; i++) sum[i] += weight * out[i];
}

static double dot(const float *a, const double *b, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += (double)a[i] * b[i];
    return sum;
}

/* Whether the expert's group is one of those whose two best, or whose best, are best. */
static bool is_in_kept_group(const struct setup *s, const double *rank, uint32_t expert)
{
    const uint32_t n = s->router.n_groups ? s->n_experts / s->router.n_groups : s->n_experts;
    double of_group[64];
    uint32_t n_better = 0;
    if (!s->router.n_groups) return true;
    for (uint32_t g = 0; g < s->router.n_groups; g++) {
        of_group[g] = -INFINITY;
        for (uint32_t i = g * n; i < (g + 1) * n; i++) {
            if (s->router.ranks_by_best) of_group[g] = fmax(of_group[g], rank[i]);
            for (uint32_t j = g * n; j < i && !s->router.ranks_by_best; j++)
                of_group[g] = fmax(of_group[g], rank[i] + rank[j]);
        }
    }
    for (uint32_t g = 0; g < s->router.n_groups; g++)
        n_better += of_group[g] > of_group[expert / n];
    return n_better < s->router.n_groups_used;
}

/* What is added to a column. The router sees h in full, the experts see it as halves. */
static void exact_sum(const struct bench *t, uint32_t col, double *sum)
{
    const struct setup *s = t->s;
    double h[MAX_MODEL], rounded[MAX_MODEL], score[64], by[64], squares = 0, all = 0, chosen = 0;
    uint32_t rank[64];
    bool is_taken[64] = { false };

    for (uint32_t i = 0; i < s->d_model; i++) squares += (double)t->x[col][i] * t->x[col][i];
    for (uint32_t i = 0; i < s->d_model; i++) {
        h[i] = t->x[col][i] / sqrt(squares / s->d_model + eps) * t->norm_weight[i];
        rounded[i] = as_half(h[i]);
        sum[i] = 0;
    }
    for (uint32_t e = 0; e < s->n_experts; e++) {
        score[e] = dot(t->router + e * s->d_model, h, s->d_model) + (double)t->router_bias[e];
        if (isnan(score[e])) score[e] = -INFINITY;
        all += exp(score[e]);
    }
    for (uint32_t e = 0; e < s->n_experts; e++) {       /* score: a share from here on */
        const bool is_sigmoid = s->router.score == ROUTER_SIGMOID;
        by[e] = score[e];
        score[e] = is_sigmoid ? 1 / (1 + exp(-score[e])) : exp(score[e]) / all;
        if (s->router.n_groups) by[e] = score[e] + (double)t->choice_bias[e];
    }
    for (uint32_t n = 0; n < s->n_used; n++) {
        uint32_t best = s->n_experts;
        for (uint32_t e = 0; e < s->n_experts; e++)
            if (!is_taken[e] && is_in_kept_group(s, by, e) &&
                (best == s->n_experts || by[e] > by[best]))
                best = e;
        is_taken[rank[n] = best] = true;
        chosen += score[best];
    }
    for (uint32_t n = 0; n < s->n_used; n++)
        exact_expert(t, GATE, rank[n], s->d_expert, rounded,
                     EXPERT_SCALE * score[rank[n]] / (s->is_normalised ? chosen : 1), sum);
    if (s->d_ff)
        exact_expert(t, SHARED_GATE, 0, s->d_ff, rounded,
                     1 / (1 + exp(-dot(t->shared_router, h, s->d_model))), sum);
    for (uint32_t i = 0; i < s->d_model; i++) sum[i] *= (double)RESIDUAL_SCALE;
}

/* The reference rounds as the kernels do, so what is left are sums of floats, and now and then an
 * activation that falls to the other side of a half's rounding: 4e-5 at most on the emulator. */
static const double max_error = 2e-4;

static void check_near(const struct bench *t, uint32_t first, uint32_t n, const char *what)
{
    double want[MAX_MODEL];
    for (uint32_t c = 0; c < n; c++) {
        double error = 0, size = 0;
        exact_sum(t, first + c, want);
        for (uint32_t i = 0; i < t->s->d_model; i++) {
            const double old = t->x[first + c][i], got = x_of(t, c)[i];
            error += (got - old - want[i]) * (got - old - want[i]);
            size += want[i] * want[i];
        }
        if (!(sqrt(error / size) <= max_error))
            fail_msg("%s, %s: column %u of %u: error %.3g of the sum's size, at most %.3g",
                     t->s->name, what, first + c, n, sqrt(error / size), max_error);
    }
}

static void experts_are_near_exact(void **state)
{
    (void)state;
    for (int layout = 0; layout < FIXTURE_LAYOUTS; layout++)
        for (size_t i = 0; i < COUNT(setups); i++) {
            fixture_set_layout(layout);
            struct bench *t = open_bench(&setups[i], 7 + i, NULL);
            run(t, 0, 20);
            check_near(t, 0, 20, "20 columns");
            close_bench(t);
        }
    fixture_set_layout(0);
}

/* ---- which experts -------------------------------------------------------------------------- */

/* Experts 1 and 3 score as 0 does, 2 is not a number. */
static void tie_experts(struct bench *t)
{
    const uint32_t n = t->s->d_model;
    memcpy(t->router + n, t->router, n * sizeof *t->router);
    memcpy(t->router + 3 * n, t->router, n * sizeof *t->router);
    for (uint32_t i = 0; i < n; i++) t->router[2 * n + i] = NAN;
}

/* More experts than a simdgroup has lanes, all alike: a lane has ties among its own. */
static void tie_all(struct bench *t)
{
    const uint32_t n = t->s->d_model;
    for (uint32_t e = 1; e < t->s->n_experts; e++)
        memcpy(t->router + e * n, t->router, n * sizeof *t->router);
}

static void ties_go_to_the_lower_index_and_nan_is_lowest(void **state)
{
    (void)state;
    struct bench *t = open_bench(&setups[0], 3, tie_experts);
    run(t, 0, 16);
    check_near(t, 0, 16, "ties");
    close_bench(t);
    t = open_bench(&setups[1], 3, tie_all);
    run(t, 0, 3);
    check_near(t, 0, 3, "all alike");
    close_bench(t);
}

/* ---- every bit as alone --------------------------------------------------------------------- */

static void check_same(const struct bench *t, uint32_t first, uint32_t n, const char *what)
{
    for (uint32_t c = 0; c < n; c++)
        if (memcmp(x_of(t, c), t->alone[first + c], t->s->d_model * sizeof(float)))
            fail_msg("%s, %s: column %u differs among %u from itself alone", t->s->name, what,
                     first + c, n);
}

static void columns_are_as_alone(void **state)
{
    (void)state;
    static const struct {
        uint32_t first, n;
    } steps[] = { { 0, 2 }, { 3, 4 }, { 1, 5 }, { 7, 8 }, { 9, 20 }, { 40, 32 }, { 0, MAX_COLS } };

    for (size_t i = 0; i < COUNT(setups); i++) {
        struct bench *t = open_bench(&setups[i], 19 + i, NULL);
        const bool has_few = t->b->has_few;
        for (uint32_t c = 0; c < MAX_COLS; c++) {
            run(t, c, 1);
            memcpy(t->alone[c], x_of(t, 0), t->s->d_model * sizeof(float));
        }
        for (size_t k = 0; k < COUNT(steps); k++) {
            run(t, steps[k].first, steps[k].n);
            check_same(t, steps[k].first, steps[k].n, "together");
            t->b->has_few = false;
            run(t, steps[k].first, steps[k].n);
            check_same(t, steps[k].first, steps[k].n, "by the matrix unit");
            t->b->has_few = has_few;
        }
        close_bench(t);
    }
}

/* ---- what is refused ------------------------------------------------------------------------ */

static void impossible_mixtures_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint32_t n_experts, n_used, d_expert;
        const char *text;
    } cases[] = {
        { MAX_EXPERTS + 1, 2, 32, "1025 experts" }, { 4, 0, 32, "expert_used_count is 0" },
        { 4, 5, 32, "expert_used_count is 5" },
        { 4, 2, 48, "expert_feed_forward_length is 48" },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct backend_params params = {
            .dims = { .d_model = 64, .d_head = 32, .n_heads = 2, .n_kv_heads = 1, .n_layers = 1,
                      .n_vocab = 64, .n_experts = cases[i].n_experts,
                      .n_experts_used = cases[i].n_used, .d_expert = cases[i].d_expert },
            .max_cols = 8, .max_outs = 8,
            .kv = { .n = 1, .group = { { .n_layers = 1, .n_pages = 4 } } },
        .n_threads = 1,
        };
        struct backend *b;
        pl_err err;
        assert_int_equal(backend_metal.open(&b, &params, &err), PL_E_UNSUPPORTED);
        assert_null(b);
        assert_non_null(strstr(err.text, cases[i].text));
    }
}

int main(int argc, char **argv)
{
    fixture_choose(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(experts_are_near_exact),
        cmocka_unit_test(ties_go_to_the_lower_index_and_nan_is_lowest),
        cmocka_unit_test(columns_are_as_alone),
        cmocka_unit_test(impossible_mixtures_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
