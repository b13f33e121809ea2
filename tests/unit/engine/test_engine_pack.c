/* The pack cache through the public face: the same numbers with and without it, and an engine that
 * opens whatever is wrong with the folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "unit/engine/replies.h"
#include "unit/engine/tiny_model.h"

enum { N_TOKENS = 40 };

static char folder[64];

/* nll of N_TOKENS fixed tokens; true: the weights came from the cache in the end. */
static bool score(const char *pack_cache, float nll[N_TOKENS - 1])
{
    int32_t tokens[N_TOKENS];
    pl_score_result result;
    pl_err err;
    for (int i = 0; i < N_TOKENS; i++) tokens[i] = i * 37 % 256;
    pl_engine *e = open_engine((pl_params){ .pack_cache = pack_cache });
    const pl_plan *plan = pl_engine_plan(e);
    if (pl_score(e, tokens, N_TOKENS, 0, &result, &err)) fail_msg("%s", err.text);
    memcpy(nll, result.nll, (N_TOKENS - 1) * sizeof *nll);
    pl_score_free(&result);
    const bool is_shared = plan->shared_bytes > 0;
    if (is_shared) assert_in_range(plan->shared_bytes, 1, plan->weights_bytes);
    pl_close(e);
    return is_shared;
}

static void test_scores_do_not_depend_on_the_cache(void **state)
{
    (void)state;
    float without[N_TOKENS - 1], with[N_TOKENS - 1];
    assert_false(score(NULL, without));
    for (int i = 0; i < 3; i++) {
        assert_true(score(folder, with));
        assert_memory_equal(with, without, sizeof with);
    }
}

static void test_two_engines_use_one_file(void **state)
{
    (void)state;
    const pl_params params = { .pack_cache = folder };
    pl_engine *first = open_engine(params), *second = open_engine(params);
    float with[N_TOKENS - 1], without[N_TOKENS - 1];
    assert_true(pl_engine_plan(first)->shared_bytes && pl_engine_plan(second)->shared_bytes);
    pl_close(first);
    score(NULL, without);
    assert_true(score(folder, with));
    assert_memory_equal(with, without, sizeof with);
    pl_close(second);
}

static void test_no_trouble_stops_an_engine(void **state)
{
    (void)state;
    struct rlimit before;
    float without[N_TOKENS - 1], with[N_TOKENS - 1];
    char empty[80];
    snprintf(empty, sizeof empty, "%s/empty", folder);
    score(NULL, without);
    const char *bad[] = { model_path, "/nowhere/at/all", "" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(score(bad[i], with));
        assert_memory_equal(with, without, sizeof with);
    }
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    for (rlim_t limit = 0; limit <= 4096; limit += 4096) {  /* with and without the model's hash */
        const struct rlimit small = { limit, before.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        const bool is_shared = score(empty, with);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_false(is_shared);
        assert_memory_equal(with, without, sizeof with);
    }
    assert_true(score(empty, with));
}

static void test_a_plan_alone_touches_nothing(void **state)
{
    (void)state;
    char untouched[80];
    snprintf(untouched, sizeof untouched, "%s/untouched", folder);
    const pl_params params = { .model_path = model_path, .pack_cache = untouched };
    pl_plan plan;
    pl_err err;
    assert_int_equal(pl_plan_compute(&plan, &params, &err), PL_OK);
    assert_int_equal(plan.shared_bytes, 0);
    assert_int_not_equal(access(untouched, F_OK), 0);
}

static int make_files(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/paceline-pack-XXXXXX");
    return !mkdtemp(folder) || !tiny_model_write(model_path, false);
}

static int remove_files(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s %.40s", folder, model_path);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scores_do_not_depend_on_the_cache),
        cmocka_unit_test(test_two_engines_use_one_file),
        cmocka_unit_test(test_no_trouble_stops_an_engine),
        cmocka_unit_test(test_a_plan_alone_touches_nothing),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
