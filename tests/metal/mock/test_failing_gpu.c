/* The engine on a GPU that fails: the requests of the failed step end with an error, nothing
 * else does, and the engine goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../unit/engine/replies.h"
#include "mock/mock.h"

static void a_failed_step_ends_its_requests_alone(void **state)
{
    (void)state;
    enum { N_STREAMS = 3, N_TOKENS = 12 };
    static struct reply want, got;
    int32_t prompt[10];
    pl_engine *e = open_engine((pl_params){ .n_streams = N_STREAMS, .backend = "metal" });
    prompt_of(prompt, 10, 3);
    pl_request r = request_of(prompt, 10, N_TOKENS, 0);
    assert_string_equal(pl_engine_plan(e)->backend, "metal");
    run(e, &r, &want);
    assert_int_equal(want.finish, PL_FINISH_LENGTH);

    for (uint32_t n = 1; n <= 6; n++) {     /* the prompt's step, and some that decode */
        pl_stream *stream[N_STREAMS];
        uint32_t n_failed = 0;
        mock_fail_command(n, 1);
        for (int i = 0; i < N_STREAMS; i++) stream[i] = submit(e, &r);
        for (int i = 0; i < N_STREAMS; i++) {
            finish(stream[i], &got);
            if (got.finish == PL_FINISH_ERROR) n_failed++;
            else assert_same(&got, &want, "a stream of no failed step");
        }
        assert_true(n_failed > 0);
        run(e, &r, &got);
        assert_same(&got, &want, "after a failure");
    }
    mock_fail_command(1, 10);               /* more in a row than make a new queue */
    pl_request one = r;                     /* without a step that runs ahead */
    one.max_tokens = 1;
    for (int i = 0; i < 10; i++) {
        run(e, &one, &got);
        assert_int_equal(got.finish, PL_FINISH_ERROR);
    }
    run(e, &r, &got);
    assert_same(&got, &want, "after ten failures");
    pl_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_failed_step_ends_its_requests_alone) };
    return cmocka_run_group_tests(tests, write_tiny_model, remove_tiny_model);
}
