/* What the plan models for layers with a window, against what the scheduler has them keep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/scheduler.h"
#include "estimate/estimate.h"

static void test_windows_are_the_schedulers(void **state)
{
    (void)state;
    static const enum estimate_backend backends[] = { ESTIMATE_CPU, ESTIMATE_METAL };
    for (size_t b = 0; b < 2; b++)
        for (uint32_t window = 1; window < 5000; window = window * 3 + 1) {
            const struct shape shape = { .window = window };
            const struct scheduler_params p = {
                .n_slots = 20, .step_tokens = 250,
                .chunk_pages = estimate_backend_traits(backends[b])->chunk_pages,
            };
            const double n = PAGE_TOKENS * (double)scheduler_window_pages(&p, window);
            assert_true(kv_window_tokens(&shape, backends[b], 20, 1 << 20, 250) == n);
            assert_true(kv_window_tokens(&shape, backends[b], 20, 15, 250) == 20.0 * PAGE_TOKENS);
        }
}

static void test_chunks_are_the_backends(void **state)
{
    (void)state;
    /* those that this version has not read pages one by one */
    assert_int_equal(estimate_backend_traits(ESTIMATE_CUDA)->chunk_pages, 1);
    assert_int_equal(estimate_backend_traits(ESTIMATE_ROCM)->chunk_pages, 1);
    for (int b = ESTIMATE_CPU; b <= ESTIMATE_METAL_TENSORS; b++) {
        const struct estimate_backend_traits *traits =
            estimate_backend_traits((enum estimate_backend)b);
        const struct backend_ops *ops = backend_find(traits->name);
        if (ops) assert_int_equal(traits->chunk_pages, ops->chunk_pages);
        else assert_int_not_equal(b, ESTIMATE_CPU);
    }
}

static void test_states_are_the_schedulers(void **state)
{
    (void)state;
    for (uint32_t n = 1; n < 300; n++)
        assert_true(kv_states(n) ==
                    scheduler_n_states(&(struct scheduler_params){ .n_slots = n }));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows_are_the_schedulers),
        cmocka_unit_test(test_chunks_are_the_backends),
        cmocka_unit_test(test_states_are_the_schedulers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
