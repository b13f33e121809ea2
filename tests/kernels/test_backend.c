/* The CPU backend from open to close: its answers against a forward pass in double precision, its
 * memory against its plan, what it refuses, its timings. */
#include "backend_reference.h"

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

static double error_of(const struct tiny *t, uint32_t stream, uint32_t n_positions)
{
    struct ref_cache *cache = malloc(sizeof *cache);
    double error = 0, size = 0, want[REF_MAX];

    assert_non_null(cache);
    for (uint32_t pos = 0; pos < n_positions; pos++) {
        const float *got = tiny_logits(t, stream, pos);
        ref_logits(t, cache, stream, pos, want);
        for (uint32_t i = 0; i < t->shape->n_vocab; i++) {
            error += (got[i] - want[i]) * (got[i] - want[i]);
            size += want[i] * want[i];
        }
    }
    free(cache);
    return sqrt(error / size);
}

static void logits_are_near_exact(void **state)
{
    (void)state;
    const char *names[8];
    const uint32_t n = cpu_kernels_list(names, 8);

    for (uint32_t i = 0; i < n; i++)
        for (size_t s = 0; s < COUNT(tiny_shapes); s++) {
            struct tiny *t = tiny_make(&tiny_shapes[s]);
            t->params.isa = names[i];
            t->params.n_threads = 2;
            tiny_open(t);
            assert_string_equal(backend_cpu.isa(t->b), names[i]);
            tiny_start(t, 5, 0xff);
            tiny_step(t, (struct piece[]){ { 2, 0, TINY_POSITIONS }, { 4, 0, TINY_POSITIONS } }, 2,
                      1);
            for (uint32_t stream = 2; stream <= 4; stream += 2) {
                const double error = error_of(t, stream, TINY_POSITIONS);
                if (!(error < max_error_of(t->shape)))
                    fail_msg("%s isa=%s stream %u: error %.4f of the logits' size, at most %.2f",
                             t->shape->name, names[i], stream, error, max_error_of(t->shape));
            }
            tiny_close(t);
            tiny_free(t);
        }
}

/* Errors as above, but for what a KV type adds; keys with and without a bias. 8-bit floats have 3
 * bits of mantissa. */
static void logits_are_near_with_every_kv_type(void **state)
{
    (void)state;
    static const double most[N_KV_TYPES] = { 0.02, 0.02, 0.02, 0.06 };

    for (int i = 0; i < 2 * N_KV_TYPES; i++)
        for (size_t s = 0; s < COUNT(tiny_shapes); s++) {
            if (tiny_shapes[s].n_experts) continue;     /* choices would hide the types' part */
            struct tiny *t = tiny_make(&tiny_shapes[s]);
            t->params.k_type = i < N_KV_TYPES ? (enum kv_type)i : KV_F16;
            t->params.v_type = i < N_KV_TYPES ? KV_F16 : (enum kv_type)(i - N_KV_TYPES);
            tiny_open(t);
            tiny_start(t, 5, 0xff);
            tiny_step(t, &(struct piece){ 2, 0, TINY_POSITIONS }, 1, 1);
            const double error = error_of(t, 2, TINY_POSITIONS);
            if (!(error < most[i % N_KV_TYPES]))
                fail_msg("%s K %s V %s: error %.4f of the logits' size, at most %.2f",
                         t->shape->name, kv_type_name(t->params.k_type),
                         kv_type_name(t->params.v_type), error, most[i % N_KV_TYPES]);
            tiny_close(t);
            tiny_free(t);
        }
}

/* ---- memory --------------------------------------------------------------------------------- */

static uint64_t matrix_total(const struct tiny *t)
{
    const struct tiny_matrix *all[TINY_LAYERS * TINY_MATRICES + 2] = { &t->embedding, &t->head };
    uint64_t n_bytes = 0;

    for (int i = 0; i < TINY_LAYERS * TINY_MATRICES; i++)
        all[2 + i] = &t->layer[i / TINY_MATRICES].matrix[i % TINY_MATRICES];
    for (size_t i = 0; i < COUNT(all); i++)
        if (all[i]->rows)
            n_bytes +=
                backend_cpu.matrix_bytes(all[i]->type->type, all[i]->n_rows, all[i]->n_k);
    return n_bytes;
}

static uint64_t vector_total(const struct tiny *t)
{
    uint64_t n = t->head_norm.n + (uint64_t)TINY_POSITIONS * t->shape->d_head;

    for (int i = 0; i < TINY_LAYERS; i++) {
        const struct tiny_layer *l = &t->layer[i];
        n += l->norm.n + l->ff_norm.n + l->post_norm.n + l->post_ff_norm.n;
        n += l->norm_q.n + l->norm_k.n + l->router.n + l->shared_router.n;
        for (int k = 0; k < 3; k++) n += l->bias[k].n;
    }
    return n * sizeof(float);
}

static void the_plan_is_what_is_taken(void **state)
{
    (void)state;
    static const uint32_t n_cols[] = { 1, 20, 128 }, n_outs[] = { 1, 30, 7 };

    for (size_t s = 0; s < COUNT(tiny_shapes); s++)
        for (uint32_t i = 0; i < COUNT(n_cols); i++) {
            struct tiny *t = tiny_make(&tiny_shapes[s]);
            t->params.max_cols = n_cols[i];
            t->params.max_outs = n_outs[i];
            t->params.n_threads = 1 + i;
            t->params.n_pages = 3 + 50 * i;
            t->params.k_type = (enum kv_type)(i + 1);
            t->params.v_type = (enum kv_type)(3 - i);
            const struct backend_bytes plan = backend_cpu.plan(&t->params);
            tiny_open(t);
            const struct cpu_backend *b = (const struct cpu_backend *)t->b;
            assert_int_equal(plan.kv, (uint64_t)t->params.n_pages * b->page_bytes);
            const uint64_t planned = plan.kv + plan.scratch + matrix_total(t) + vector_total(t);
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
    struct tiny *t = tiny_make(&tiny_shapes[0]);

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
    struct tiny *t = tiny_make(&tiny_shapes[0]);
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
    struct tiny *t = tiny_make(&tiny_shapes[0]);
    struct backend_params p = t->params;

    p.dims.d_head = 80;
    check_refused(p, PL_E_UNSUPPORTED, "80 dimensions");
    p.dims.d_head = 288;
    check_refused(p, PL_E_UNSUPPORTED, "288 dimensions");
    p = t->params;
    p.dims.n_kv_heads = 3;
    check_refused(p, PL_E_UNSUPPORTED, "4 query heads over 3");
    p.dims.n_kv_heads = 0;
    check_refused(p, PL_E_UNSUPPORTED, "0 KV heads");
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
    p.n_pages = UINT32_MAX;
    p.dims.n_layers = 100000;
    check_refused(p, PL_E_MEMORY, "KV pages");
    tiny_free(t);
}

static void weights_that_cannot_be_packed_are_refused(void **state)
{
    (void)state;
    struct tiny *t = tiny_make(&tiny_shapes[0]);
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

/* ---- timings -------------------------------------------------------------------------------- */

static void operations_are_timed_when_asked(void **state)
{
    (void)state;
    enum { MAX_NAMES = 32 };
    const char *name[MAX_NAMES];
    uint64_t ns[MAX_NAMES];
    struct tiny *t = tiny_make(&tiny_shapes[1]);
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
        cmocka_unit_test(weights_that_cannot_be_packed_are_refused),
        cmocka_unit_test(operations_are_timed_when_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
