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

static pl_status finish_wrongly(struct backend *b, const int32_t **picked, pl_err *err)
{
    static int32_t wrong[64];
    const pl_status st = fixture_ops->finish(b, picked, err);
    memcpy(wrong, *picked, 9 * sizeof *wrong);
    if (++n_finished == 10) wrong[0] = (wrong[0] + 1) % 96;
    *picked = wrong;
    return st;
}

static void a_wrong_token_is_found(void **state)
{
    (void)state;
    pl_err err;
    struct backend_ops wrong = *fixture_ops;
    wrong.finish = finish_wrongly;
    is_found = false;
    assert_int_equal(backend_self_test(&wrong, see_fault, "tokens picked", &err), PL_E_INTERNAL);
    assert_true(is_found);
}

/* The sum of the buffers that are the plan's: all but the probes', which are a few KiB. */
static void the_plan_is_what_is_taken(void **state)
{
    (void)state;
    struct metal_backend *b = fixture_open();
    const struct backend_bytes plan = fixture_ops->plan(&b->params);
    assert_int_equal(plan.kv, b->kv.n_bytes);
    assert_true(plan.scratch > b->x.n_bytes + b->y.n_bytes + b->h.n_bytes + b->logit_rows.n_bytes);
    fixture_close(b);
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
    p.n_pages = UINT32_MAX;
    p.dims.n_layers = 10000;
    assert_int_equal(fixture_ops->open(&b, &p, &err), PL_E_MEMORY);
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
