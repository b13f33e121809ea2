/* Tokens that the GPU picks, with steps that run ahead, against those that the engine's sampler
 * picks from the same logits: streams that want log-probabilities are the engine's, all else is the
 * GPU's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../unit/engine/replies.h"
#include "mock/mock.h"

enum { N_KINDS = 6 };

static int32_t prompt[N_KINDS][60];

static pl_request request_of_kind(uint32_t kind)
{
    pl_request r = request_of(prompt[kind], 1 + 7 * kind, 12 + kind, kind % 3 ? 0.9f : 0);
    r.sampling.seed = 10 + kind;
    if (kind == 2) r.sampling.top_k = 20;
    if (kind == 4) r.sampling.top_p = 0.9f;
    if (kind == 5) r.sampling.min_p = 0.1f;
    return r;
}

static void check(pl_stream *s, const struct reply *want, uint32_t kind)
{
    static struct reply got;
    finish(s, &got);
    if (got.n != want->n || memcmp(got.token, want->token, got.n * sizeof *got.token) ||
        got.finish != want->finish)
        fail_msg("kind %u: another reply", kind);
}

static void replies_are_those_of_the_engines_sampler(void **state)
{
    (void)state;
    static struct reply want[N_KINDS];
    pl_stream *s[N_KINDS];
    pl_engine *e = open_engine((pl_params){ .n_streams = N_KINDS, .backend = "metal" });
    for (uint32_t k = 0; k < N_KINDS; k++) {
        prompt_of(prompt[k], 60, k);
        const pl_request r = request_of_kind(k);
        run(e, &r, &want[k]);
    }
    assert_int_equal(mock_most_in_flight(), 1);
    for (uint64_t seed = 1; seed <= 3; seed++) {    /* together, in other orders of the GPU */
        mock_set_shuffle(seed);
        for (uint32_t k = 0; k < N_KINDS; k++) {
            pl_request r = request_of_kind(k);
            r.logprobs = seed == 3 && k == 1;       /* one of the engine's among them */
            s[k] = submit(e, &r);
        }
        for (uint32_t k = 0; k < N_KINDS; k++) check(s[k], &want[k], k);
        assert_int_equal(mock_most_in_flight(), 2);
    }
    pl_close(e);
}

/* Whichever step fails, and whoever runs ahead of it. */
static void a_failure_amid_steps_ahead(void **state)
{
    (void)state;
    static struct reply want, got;
    pl_engine *e = open_engine((pl_params){ .n_streams = 2, .backend = "metal" });
    pl_request r = request_of_kind(4);
    r.logprobs = false;
    run(e, &r, &want);
    for (uint32_t n = 1; n <= 8; n++) {
        mock_set_failed_signal(n % 2);
        mock_fail_command(n, 1);
        run(e, &r, &got);
        assert_int_equal(got.finish, PL_FINISH_ERROR);
        assert_true(got.n < want.n && !memcmp(got.token, want.token, got.n * sizeof *got.token));
        run(e, &r, &got);
        assert_same(&got, &want, "after a failure");
    }
    pl_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_those_of_the_engines_sampler),
        cmocka_unit_test(a_failure_amid_steps_ahead),
    };
    return cmocka_run_group_tests(tests, write_tiny_model, remove_tiny_model);
}
