/* The CPU backend from open to close: its answers against the exact backend's, its memory against
 * its plan, what it refuses, its timings. */
#include "tiny_cpu.h"

#include <stdio.h>
#include <sys/resource.h>

#include "base/cpu_isa.h"

/* ---- answers -------------------------------------------------------------------------------- */

/* Of the error, relative to the logits' own size. Rounding activations to 8 bits gives 1.3 to 1.6 %
 * on these models. An error in any one operation gives more than the bound: the least seen were
 * 3.3 % for a q_scale 10 % too large and 8 % for a window one position too long. */
static const double max_error = 0.02;

/* Where experts are chosen, rounding sends a column that is near a tie to another one. */
static double max_error_of(const struct tiny_shape *s)
{
    return s->n_experts ? 0.04 : max_error;
}

/* Of what the exact backend says of the whole stream. */
static double error_of(const struct tiny *t, uint32_t stream)
{
    struct tiny *exact = tiny_make(t->shape, backend_find("exact"), NULL);
    double error = 0, size = 0;

    tiny_open(exact);
    tiny_start(exact, 7, 0);
    tiny_step(exact, &(struct piece){ stream, 0, TINY_POSITIONS }, 1, 1);
    for (uint32_t pos = 0; pos < TINY_POSITIONS; pos++)
        for (uint32_t i = 0; i < t->shape->n_vocab; i++) {
            const double got = (double)tiny_logits(t, stream, pos)[i];
            const double want = (double)tiny_logits(exact, stream, pos)[i];
            error += (got - want) * (got - want);
            size += want * want;
        }
    tiny_close(exact);
    tiny_free(exact);
    return sqrt(error / size);
}

static void check_near_exact(const struct tiny_shape *shape, const char *isa)
{
    struct tiny *t = tiny_on_cpu(shape);
    t->params.isa = isa;
    t->params.n_threads = 2;
    tiny_open(t);
    assert_string_equal(backend_cpu.isa(t->b), isa);
    tiny_start(t, 5, 0xff);
    tiny_step(t, (struct piece[]){ { 2, 0, TINY_POSITIONS }, { 4, 0, TINY_POSITIONS } }, 2, 1);
    for (uint32_t stream = 2; stream <= 4; stream += 2) {
        const double error = error_of(t, stream);
        if (!(error < max_error_of(t->shape)))
            fail_msg("%s isa=%s stream %u: error %.4f of the logits' size, at most %.2f",
                     t->shape->name, isa, stream, error, max_error_of(t->shape));
    }
    tiny_close(t);
    tiny_free(t);
}

static void logits_are_near_exact(void **state)
{
    (void)state;
    const char *names[8];
    const uint32_t n = cpu_kernels_list(names, 8);

    for (uint32_t i = 0; i < n; i++)
        for (size_t s = 0; s < TINY_N_SHAPES; s++) check_near_exact(&tiny_shapes[s], names[i]);
    check_near_exact(&tiny_wide_group, names[n - 1]);
    for (uint32_t i = 0; i < n; i++) {
        check_near_exact(&tiny_tracks, names[i]);
        for (size_t s = 0; s < COUNT(tiny_latents); s++)
            check_near_exact(&tiny_latents[s], names[i]);
    }
}

/* Errors as above, but for what a KV type adds; keys with and without a bias. 8-bit floats have 3
 * bits of mantissa. */
static void check_near_with_type(const struct tiny_shape *shape, int i)
{
    static const double most[N_KV_TYPES] = { 0.02, 0.02, 0.02, 0.06 };
    struct tiny *t = tiny_on_cpu(shape);
    t->params.k_type = i < N_KV_TYPES ? (enum kv_type)i : KV_F16;
    t->params.v_type = i < N_KV_TYPES ? KV_F16 : (enum kv_type)(i - N_KV_TYPES);
    tiny_open(t);
    tiny_start(t, 5, 0xff);
    tiny_step(t, &(struct piece){ 2, 0, TINY_POSITIONS }, 1, 1);
    const double error = error_of(t, 2);
    if (!(error < most[i % N_KV_TYPES]))
        fail_msg("%s K %s V %s: error %.4f of the logits' size, at most %.2f", t->shape->name,
                 kv_type_name(t->params.k_type), kv_type_name(t->params.v_type), error,
                 most[i % N_KV_TYPES]);
    tiny_close(t);
    tiny_free(t);
}

static void logits_are_near_with_every_kv_type(void **state)
{
    (void)state;
    for (int i = 0; i < 2 * N_KV_TYPES; i++) {
        for (size_t s = 0; s < TINY_N_SHAPES; s++)
            if (!tiny_shapes[s].n_experts)      /* choices would hide the types' part */
                check_near_with_type(&tiny_shapes[s], i);
        check_near_with_type(&tiny_latents[i % COUNT(tiny_latents)], i);
        check_near_with_type(&tiny_latents[(i + 1) % COUNT(tiny_latents)], i);
    }
}

/* ---- memory --------------------------------------------------------------------------------- */

static void the_plan_is_what_is_taken(void **state)
{
    (void)state;
    static const uint32_t n_cols[] = { 1, 20, 128 }, n_outs[] = { 1, 30, 7 };

    for (size_t s = 0; s < TINY_N_SHAPES; s++)
        for (uint32_t i = 0; i < COUNT(n_cols); i++) {
            struct tiny *t = tiny_on_cpu(&tiny_shapes[s]);
            t->params.max_cols = n_cols[i];
            t->params.max_outs = n_outs[i];
            t->params.n_threads = 1 + i;
            t->params.kv = tiny_kv_groups(&tiny_shapes[s], 3 + 50 * i);
            t->params.k_type = (enum kv_type)(i + 1);
            t->params.v_type = (enum kv_type)(3 - i);
            const struct backend_bytes plan = backend_cpu.plan(&t->params);
            tiny_open(t);
            const struct cpu_backend *b = (const struct cpu_backend *)t->b;
            assert_int_equal(plan.kv, b->places.n_bytes);
            const uint64_t planned = plan.kv + plan.scratch + tiny_weights_bytes(t);
            assert_int_equal(b->memory.given_bytes, planned);
            tiny_step(t, &(struct piece){ 0, 0, 1 }, 1, 1);     /* a step takes none */
            assert_int_equal(b->memory.given_bytes, planned);
            tiny_close(t);
            tiny_free(t);
        }
}

static void a_plan_without_a_thread_count_is_for_all_cores(void **state)
{
    (void)state;
    struct tiny *t = tiny_on_cpu(&tiny_shapes[0]);

    t->params.n_threads = cpu_performance_cores();
    const struct backend_bytes cores = backend_cpu.plan(&t->params);
    t->params.n_threads = 0;
    const struct backend_bytes unsaid = backend_cpu.plan(&t->params);
    assert_int_equal(unsaid.scratch, cores.scratch);
    assert_int_equal(unsaid.kv, cores.kv);
    tiny_open(t);
    assert_int_equal(backend_cpu.n_threads(t->b), cpu_performance_cores());
    tiny_close(t);
    tiny_free(t);
}

/* Locking either works, or says which limit to raise. */
static void memory_is_locked_or_the_limit_named(void **state)
{
    (void)state;
    struct tiny *t = tiny_on_cpu(&tiny_shapes[0]);
    struct rlimit before;
    pl_err err;

    assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &before), 0);
    const struct rlimit none = { 0, before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &none), 0);
    t->params.lock_memory = true;
    const pl_status st = backend_cpu.open(&t->b, &t->params, &err);
    assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &before), 0);
    if (st) {
        assert_int_equal(st, PL_E_MEMORY);
        assert_non_null(strstr(err.text, "ulimit -l"));
        assert_null(t->b);
    } else {
        tiny_close(t);      /* the superuser has no limit */
    }
    tiny_free(t);
}

/* ---- refusals ------------------------------------------------------------------------------- */

static void check_refused(struct backend_params p, pl_status want, const char *text)
{
    struct backend *b = (struct backend *)&p;
    pl_err err;

    assert_int_equal(backend_cpu.open(&b, &p, &err), want);
    assert_null(b);
    if (!strstr(err.text, text)) fail_msg("\"%s\" does not say \"%s\"", err.text, text);
    (void)backend_cpu.plan(&p);
}

static void what_cannot_run_is_refused(void **state)
{
    (void)state;
    struct tiny *t = tiny_on_cpu(&tiny_shapes[0]);
    struct backend_params p = t->params;

    p.dims.n_kv_heads = 3;
    check_refused(p, PL_E_UNSUPPORTED, "4 query heads over 3");
    p = t->params;
    p.n_tokens = p.dims.n_vocab + 1;
    check_refused(p, PL_E_PARAM, "101 tokens for 100 rows");
    p = t->params;
    p.max_outs = 0;
    check_refused(p, PL_E_PARAM, "0 outputs");
    p = t->params;
    p.isa = "avx9000";
    check_refused(p, PL_E_PARAM, "avx9000");
    p.isa = NULL;
    p.n_threads = 5000;
    check_refused(p, PL_E_PARAM, "5000 threads");
    p = t->params;
    p.dims.n_layers = 1024;
    p.kv = (struct kv_groups){ .n = 1, .group = { { .n_layers = 1024, .n_pages = UINT32_MAX } } };
    check_refused(p, PL_E_MEMORY, "KV pages");
    tiny_free(t);
}

/* Each dimension at its bound is planned for, and beyond it refused by its name in model files. */
static void every_dimension_has_a_bound(void **state)
{
    (void)state;
    struct tiny *t = tiny_on_cpu(&tiny_shapes[2]);
    const struct {
        const char *name;
        size_t at;              /* in struct dims */
        uint32_t wrong[3];      /* 0: no more of them */
        bool is_wrong_at_0;
    } cases[] = {
        { "embedding_length", offsetof(struct dims, d_model), { (1 << 17) + 32, 40 }, true },
        { "block_count", offsetof(struct dims, n_layers), { 1025, UINT32_MAX }, true },
        { "feed_forward_length", offsetof(struct dims, d_ff), { (1 << 20) + 32, 40 }, false },
        { "attention.head_count", offsetof(struct dims, n_heads), { 1025, UINT32_MAX }, true },
        { "attention.head_count_kv", offsetof(struct dims, n_kv_heads), { 5, UINT32_MAX }, true },
        { "attention.key_length", offsetof(struct dims, d_head), { 608, 80, 16 }, true },
        { "vocabulary size", offsetof(struct dims, n_vocab), { (1 << 21) + 1, UINT32_MAX }, true },
        { "expert_count", offsetof(struct dims, n_experts), { 4097, UINT32_MAX }, false },
        { "expert_used_count", offsetof(struct dims, n_experts_used), { 10, UINT32_MAX }, true },
        { "expert_feed_forward_length", offsetof(struct dims, d_expert), { (1 << 16) + 32, 40 },
          true },
        { "expert_shared_feed_forward_length", offsetof(struct dims, d_shared),
          { (1 << 20) + 32, 40 }, false },
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        for (int k = cases[i].is_wrong_at_0 ? -1 : 0; k < 3 && (k < 0 || cases[i].wrong[k]); k++) {
            struct backend_params p = t->params;
            char text[64];
            const uint32_t wrong = k < 0 ? 0 : cases[i].wrong[k];
            memcpy((char *)&p.dims + cases[i].at, &wrong, sizeof wrong);
            snprintf(text, sizeof text, "%s is %u;", cases[i].name, wrong);
            check_refused(p, PL_E_UNSUPPORTED, text);
        }
    tiny_free(t);
}

static void weights_that_cannot_be_packed_are_refused(void **state)
{
    (void)state;
    struct tiny *t = tiny_on_cpu(&tiny_shapes[0]);
    const struct weight_view views[] = {
        { "blk.0.odd", QUANT_Q4_K, 16, 128, t->head.rows },
        { "blk.0.odd", 9999, 16, 256, t->head.rows },
    };
    pl_err err;

    tiny_open(t);
    for (size_t i = 0; i < COUNT(views); i++) {
        struct matrix *m = NULL;
        assert_int_equal(backend_cpu.matrix_bytes(views[i].type, 16, views[i].n_k), 0);
        assert_int_equal(backend_cpu.load_matrix(t->b, &views[i], &m, &err), PL_E_UNSUPPORTED);
        assert_non_null(strstr(err.text, "blk.0.odd"));
        assert_null(m);
    }
    tiny_close(t);
    tiny_free(t);
}

/* ---- the output head ------------------------------------------------------------------------ */

static void rows_without_a_token_are_not_measured(void **state)
{
    (void)state;
    tiny_check_padded(&backend_cpu);
}

/* ---- timings -------------------------------------------------------------------------------- */

static void operations_are_timed_when_asked(void **state)
{
    (void)state;
    enum { MAX_NAMES = 32 };
    const char *name[MAX_NAMES];
    uint64_t ns[MAX_NAMES];
    struct tiny *t = tiny_on_cpu(&tiny_shapes[1]);
    const struct piece piece = { 0, 0, 20 };

    t->params.n_threads = 2;
    tiny_open(t);
    tiny_start(t, 1, 0);
    tiny_step(t, &piece, 1, 1);
    assert_int_equal(backend_cpu.timings(t->b, name, ns, MAX_NAMES), 0);
    backend_cpu.timing(t->b, true);
    tiny_step(t, &piece, 1, 1);
    const uint32_t n = backend_cpu.timings(t->b, name, ns, MAX_NAMES);
    uint32_t n_attend = 0;
    assert_in_range(n, 10, MAX_NAMES - 1);
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < i; k++) assert_string_not_equal(name[i], name[k]);
        assert_true(ns[i] > 0);
        n_attend += !strcmp(name[i], "attend");
    }
    assert_int_equal(n_attend, 1);
    assert_int_equal(backend_cpu.timings(t->b, name, ns, MAX_NAMES), 0);
    tiny_step(t, &piece, 1, 1);
    assert_int_equal(backend_cpu.timings(t->b, name, ns, 3), 3);
    backend_cpu.timing(t->b, false);
    tiny_step(t, &piece, 1, 1);
    assert_int_equal(backend_cpu.timings(t->b, name, ns, MAX_NAMES), 0);
    tiny_close(t);
    tiny_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_near_exact),
        cmocka_unit_test(logits_are_near_with_every_kv_type),
        cmocka_unit_test(the_plan_is_what_is_taken),
        cmocka_unit_test(a_plan_without_a_thread_count_is_for_all_cores),
        cmocka_unit_test(memory_is_locked_or_the_limit_named),
        cmocka_unit_test(what_cannot_run_is_refused),
        cmocka_unit_test(every_dimension_has_a_bound),
        cmocka_unit_test(rows_without_a_token_are_not_measured),
        cmocka_unit_test(weights_that_cannot_be_packed_are_refused),
        cmocka_unit_test(operations_are_timed_when_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
