/* context: the model's limit where it fits, else what fits, to the step; never less than the
 * least. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/context.h"
#include "cli/exposure.h"
#include "unit/engine/tiny_model.h"

static char path[64];

static uint64_t bytes_of(uint32_t n_streams, uint32_t ctx_tokens)
{
    pl_plan plan;
    pl_err err;
    const pl_params p = { .model_path = path, .n_streams = n_streams, .ctx_tokens = ctx_tokens };
    assert_int_equal(pl_plan_compute(&plan, &p, &err), PL_OK);
    return plan.total_bytes;
}

static uint32_t chosen(pl_params p, uint32_t most, uint64_t free_bytes)
{
    pl_err err;
    p.model_path = path;
    assert_int_equal(context_choose_within(&p, most, free_bytes, &err), PL_OK);
    return p.ctx_tokens;
}

static void test_what_is_chosen(void **state)
{
    const pl_params four = { .n_streams = 4 };
    (void)state;
    assert_int_equal(chosen(four, 0, UINT64_MAX), TINY_CTX);
    assert_int_equal(chosen(four, 3000, UINT64_MAX), 3000);
    assert_int_equal(chosen(four, 0, bytes_of(4, TINY_CTX) / 3 * 4 + 8), TINY_CTX);
    assert_int_equal(chosen(four, 0, 1), CONTEXT_LEAST);
    /* what was asked for stays, however little there is */
    assert_int_equal(chosen((pl_params){ .n_streams = 4, .ctx_tokens = 512 }, 0, 1), 512);
    assert_int_equal(chosen((pl_params){ .n_streams = 4, .kv_tokens = 1024 }, 0, 1), TINY_CTX);
}

/* Every step between: it fits, and a step more would not. */
static void test_as_much_as_fits(void **state)
{
    (void)state;
    for (uint32_t n_streams = 1; n_streams <= 64; n_streams *= 4) {
        const uint64_t from = bytes_of(n_streams, CONTEXT_LEAST),
                       to = bytes_of(n_streams, TINY_CTX);
        for (uint64_t budget = from; budget < to; budget += (to - from) / 7) {
            const uint32_t n = chosen((pl_params){ .n_streams = n_streams }, 0, budget / 3 * 4 + 4);
            assert_int_equal(n % CONTEXT_STEP, 0);
            assert_true(bytes_of(n_streams, n) <= budget + 3);
            if (n < TINY_CTX) assert_true(bytes_of(n_streams, n + 2 * CONTEXT_STEP < TINY_CTX
                                                                 ? n + 2 * CONTEXT_STEP
                                                                 : TINY_CTX) > budget);
        }
    }
}

static void test_who_can_reach_it(void **state)
{
    (void)state;
    static const char *const local[] = { "127.0.0.1", "127.9.9.9", "localhost", "LOCALHOST", "::1",
                                         "[::1]", "::ffff:127.0.0.1" };
    static const char *const open[] = { "0.0.0.0", "::", "[::]", "192.168.1.5", "example.org",
                                        "fe80::1", "1270.0.0.1", "" };
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        assert_true(exposure_is_local(local[i]));
    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
        assert_false(exposure_is_local(open[i]));
}

static int write_model(void **state)
{
    (void)state;
    return !tiny_model_write(path, false);
}

static int remove_model(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_chosen),
        cmocka_unit_test(test_as_much_as_fits),
        cmocka_unit_test(test_who_can_reach_it),
    };
    return cmocka_run_group_tests(tests, write_model, remove_model);
}
