/* The whole backend on the GPU that the build has: the self-test, in both layouts of a fragment,
 * and its memory against its plan. */
#include "metal_fixture.h"

#include "backend/self_test.h"

static void see(void *arg, const char *what, bool is_ok, const char *text)
{
    (void)arg;
    if (!is_ok) print_error("%s: %s\n", what, text);
}

static void the_self_test_passes(void **state)
{
    (void)state;
    pl_err err;
    for (int layout = 0; layout < FIXTURE_LAYOUTS; layout++) {
        fixture_set_layout(layout);
        if (backend_self_test(fixture_ops, see, NULL, &err))
            fail_msg("layout %d: %s", layout, err.text);
    }
    fixture_set_layout(0);
}

static bool is_found;

static void see_fault(void *arg, const char *what, bool is_ok, const char *text)
{
    (void)text;
    if (!is_ok && !strcmp(what, arg)) is_found = true;
}

/* The first token of a step is another one, sometimes or where a step runs ahead. */
static uint32_t n_finished;

static pl_status finish_wrongly(struct backend *b, struct picked *picked, pl_err *err)
{
    const pl_status st = fixture_ops->finish(b, picked, err);
    if (++n_finished == 10) picked[0].token = (picked[0].token + 1) % 96;
    return st;
}

static void a_wrong_token_is_found(void **state)
{
    (void)state;
    if (fixture_ops != &backend_metal) skip();      /* it picks as the other does; minutes */
    pl_err err;
    struct backend_ops wrong = *fixture_ops;
    wrong.finish = finish_wrongly;
    is_found = false;
    assert_int_equal(backend_self_test(&wrong, see_fault, "tokens picked", &err), PL_E_INTERNAL);
    assert_true(is_found);
}

/* What the device holds beyond the plan: the probes, whatever the model's size. */
static uint64_t beyond_plan(const struct backend_params *params)
{
    struct metal_backend *b = fixture_open_as(params);
    const struct backend_bytes plan = fixture_ops->plan(params);
    const uint64_t taken = metal_device_n_bytes(b->device);
    assert_int_equal(plan.kv, b->kv.n_bytes);
    assert_true(taken > plan.kv + plan.scratch);
    fixture_close(b);
    return taken - plan.kv - plan.scratch;
}

static void the_plan_is_what_is_taken(void **state)
{
    (void)state;
    const struct dims dims[] = {
        { .d_model = 64, .d_head = 32, .d_ff = 64, .n_heads = 2, .n_kv_heads = 1, .n_layers = 1,
          .n_vocab = 64 },
        { .d_model = 96, .d_head = 64, .d_ff = 160, .n_heads = 6, .n_kv_heads = 3, .n_layers = 3,
          .n_vocab = 300, .has_ff_biases = true },
        { .d_model = 64, .d_head = 32, .d_ff = 96, .n_heads = 2, .n_kv_heads = 1, .n_layers = 1,
          .n_vocab = 100, .n_experts = 9, .n_experts_used = 3, .d_expert = 96, .d_shared = 64,
          .has_expert_biases = true },
        { .d_model = 128, .d_head = 32, .n_heads = 4, .n_kv_heads = 4, .n_layers = 2,
          .n_vocab = 1000, .n_experts = 40, .n_experts_used = 2, .d_expert = 64 },
    };
    uint64_t probes = 0;
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        for (uint32_t n = 8; n <= 24; n += 8) {
            const struct backend_params params = {
                .dims = dims[i], .max_cols = n + 1, .max_outs = n - 3, 
                .kv = { .n = 2, .group = { { .n_layers = 1, .n_pages = 2 * n },
                                           { .window = 64, .n_layers = dims[i].n_layers - 1,
                                             .n_pages = n } } },
                .k_type = i % 2 ? KV_Q8_0 : KV_F16, .v_type = i % 2 ? KV_F8_E4M3 : KV_BF16,
                .n_threads = 1,
            };
            const uint64_t beyond = beyond_plan(&params);
            if (!probes) probes = beyond;
            assert_int_equal(beyond, probes);
        }
    assert_in_range(probes, 1, 64 << 10);
}

static void what_cannot_run_is_refused(void **state)
{
    (void)state;
    struct metal_backend *open = fixture_open();
    const struct backend_params sound = open->params;
    struct backend *b;
    pl_err err;
    fixture_close(open);
    struct backend_params p = sound;
    p.dims.d_head = 80;
    assert_int_equal(fixture_ops->open(&b, &p, &err), PL_E_UNSUPPORTED);
    p = sound;
    p.dims.n_kv_heads = 3;
    assert_int_equal(fixture_ops->open(&b, &p, &err), PL_E_UNSUPPORTED);
    p = sound;
    p.isa = "avx2";
    assert_int_equal(fixture_ops->open(&b, &p, &err), PL_E_PARAM);
    p = sound;
    p.dims.n_layers = 1024;
    p.kv = (struct kv_groups){ .n = 1, .group = { { .n_layers = 1024, .n_pages = UINT32_MAX } } };
    assert_int_equal(fixture_ops->open(&b, &p, &err), PL_E_MEMORY);
    p = sound;
    p.dims.n_layers = 1025;
    assert_int_equal(fixture_ops->open(&b, &p, &err), PL_E_UNSUPPORTED);
    p = sound;
    p.dims.n_experts = 1025;
    p.dims.n_experts_used = 1;
    p.dims.d_expert = 64;
    assert_int_equal(fixture_ops->open(&b, &p, &err), PL_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "1025 experts"));
    assert_null(b);
}

#ifdef PACELINE_METAL_EMULATED
static void tensor_operations_that_are_missing_are_told(void **state)
{
    (void)state;
    struct metal_backend *metal = fixture_open();
    struct backend *b;
    pl_err err;
    mock_set_tensors(false);
    assert_int_equal(backend_metal_tensors.open(&b, &metal->params, &err), PL_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "use --backend metal"));
    mock_set_tensors(fixture_ops == &backend_metal_tensors);
    fixture_close(metal);
}
#endif

int main(int argc, char **argv)
{
    fixture_choose(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_self_test_passes),
        cmocka_unit_test(a_wrong_token_is_found),
        cmocka_unit_test(the_plan_is_what_is_taken),
        cmocka_unit_test(what_cannot_run_is_refused),
#ifdef PACELINE_METAL_EMULATED
        cmocka_unit_test(tensor_operations_that_are_missing_are_told),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
