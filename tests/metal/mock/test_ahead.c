/* Tokens that the GPU picks, with steps that run ahead, against those that the engine's sampler
 * picks from the same logits: from a backend without start and finish, linked here in the place of
 * src/backend/registry.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../unit/engine/replies.h"
#include "backend/metal/backend_metal.h"
#include "mock/mock.h"

enum { N_KINDS = 12 };

static int32_t prompt[N_KINDS][90];

/* ---- backends ------------------------------------------------------------------------------- */

static struct backend_ops by_host;

static pl_status open_by_host(struct backend **out, const struct backend_params *p, pl_err *err)
{
    const pl_status st = backend_metal.open(out, p, err);
    if (!st) (*out)->ops = &by_host;
    return st;
}

const struct backend_ops *backend_find(const char *name)
{
    if (!name || strcmp(name, "by-host")) return &backend_metal;
    by_host = backend_metal;
    by_host.open = open_by_host;
    by_host.start = NULL;
    by_host.finish = NULL;
    return &by_host;
}

const char *backend_names(void)
{
    return "metal, by-host";
}

/* ---- replies -------------------------------------------------------------------------------- */

static pl_request request_of_kind(uint32_t kind)
{
    static const pl_logit_bias bias[] = { { 'e', -INFINITY }, { 'q', 4 }, { 'z', 2 }, { 'q', 1 } };
    pl_request r = request_of(prompt[kind], 1 + 7 * kind, 12 + 2 * kind, kind % 3 ? 0.9f : 0);
    r.sampling.seed = 10 + kind;
    r.logprobs = kind % 2;
    if (kind == 2) r.sampling.top_k = 20;
    if (kind == 4) r.sampling.top_p = 0.9f;
    if (kind == 5) r.sampling.min_p = 0.1f;
    if (kind == 6) r.sampling.repetition_penalty = 1.5f;
    if (kind == 7) r.n_top_logprobs = 5;
    if (kind == 8) r.n_top_logprobs = 20;
    if (kind >= 8) {
        r.sampling.frequency_penalty = 0.4f;
        r.sampling.presence_penalty = 0.2f;
    }
    if (kind == 9) r.sampling.penalty_last_n = 3;
    if (kind == 10) r.sampling.penalty_last_n = 1;      /* the token in flight alone */
    if (kind == 11) {
        r.sampling.bias = bias;
        r.sampling.n_bias = 4;
        r.sampling.top_p = 0.95f;
    }
    return r;
}

static pl_engine *open_with(const char *name)
{
    return open_engine((pl_params){ .n_streams = N_KINDS, .backend = name });
}

static void run_alone(const char *backend, struct reply *to)
{
    pl_engine *e = open_with(backend);
    for (uint32_t k = 0; k < N_KINDS; k++) {
        prompt_of(prompt[k], 90, k);
        const pl_request r = request_of_kind(k);
        run(e, &r, &to[k]);
    }
    pl_close(e);
}

/* The same tokens; log-probabilities but for what sums of floats round. */
static void check_near(const struct reply *want, const struct reply *got, uint32_t kind)
{
    if (got->n != want->n || memcmp(got->token, want->token, got->n * sizeof *got->token) ||
        got->finish != want->finish)
        fail_msg("kind %u: another reply", kind);
    for (uint32_t i = 0; i < got->n; i++)
        if (!(fabsf(got->logprob[i] - want->logprob[i]) < 1e-5f))
            fail_msg("kind %u, token %u: log-probability %.7g, the sampler's is %.7g", kind, i,
                     got->logprob[i], want->logprob[i]);
}

static void replies_are_those_of_the_engines_sampler(void **state)
{
    (void)state;
    static struct reply want[N_KINDS], alone[N_KINDS], got;
    pl_stream *s[N_KINDS];
    run_alone("by-host", want);
    assert_int_equal(mock_most_in_flight(), 1);
    run_alone("metal", alone);
    assert_int_equal(mock_most_in_flight(), 2);
    for (uint32_t k = 0; k < N_KINDS; k++) {
        check_near(&want[k], &alone[k], k);
        assert_true(!alone[k].tops == !request_of_kind(k).n_top_logprobs);
    }
    pl_engine *e = open_with("metal");
    for (uint64_t seed = 1; seed <= 2; seed++) {    /* together, in other orders of the GPU */
        mock_set_shuffle(seed);
        for (uint32_t k = 0; k < N_KINDS; k++) {
            const pl_request r = request_of_kind(k);
            s[k] = submit(e, &r);
        }
        for (uint32_t k = 0; k < N_KINDS; k++) {
            finish(s[k], &got);
            assert_same(&alone[k], &got, "among others");
        }
        assert_int_equal(mock_most_in_flight(), 2);
    }
    mock_set_shuffle(0);
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

/* All kinds together while command buffer n, and then every so many, is killed half way: the bytes
 * are those that nobody interrupts. Scores and prompts are cut with the others. */
static void check_killed(const char *backend, const struct reply *want)
{
    static struct reply got;
    pl_stream *s[N_KINDS];
    pl_stats stats;
    pl_engine *e = open_with(backend);
    for (uint32_t n = 1; n <= 9; n += 4) {
        for (uint32_t k = 0; k < N_KINDS; k++) {
            const pl_request r = request_of_kind(k);
            s[k] = submit(e, &r);
        }
        mock_set_failed_signal(n % 2);
        mock_kill_command(n, 1);
        for (uint32_t k = 0; k < N_KINDS; k++) {
            finish(s[k], &got);
            assert_same(&want[k], &got, "a stream of an interrupted step");
        }
    }
    pl_stats_read(e, &stats);
    assert_int_equal(stats.n_interrupted_steps, 3);
    assert_int_equal(stats.n_finished[PL_FINISH_ERROR], 0);
    mock_set_failed_signal(false);
    pl_close(e);
}

static void a_killed_step_is_computed_again(void **state)
{
    (void)state;
    static struct reply want[N_KINDS];
    run_alone("metal", want);
    check_killed("metal", want);
    run_alone("by-host", want);
    check_killed("by-host", want);
}

/* A GPU so slow that a step takes seconds, and a system that kills what takes more than 0.6 s: cut
 * by what was measured, no request fails, and the bytes are the same. */
static void no_command_buffer_takes_longer_than_the_system_allows(void **state)
{
    (void)state;
    static struct reply want, got;
    prompt_of(prompt[0], 90, 0);
    pl_request r = request_of(prompt[0], 90, 6, 0);
    pl_stats stats;
    pl_engine *e = open_with("metal");
    const uint32_t n_at_first = mock_n_commands();
    run(e, &r, &want);
    const uint32_t n_steps = mock_n_commands() - n_at_first;
    mock_set_time(60000, 600000000);
    for (int i = 0; i < 3; i++) {
        run(e, &r, &got);
        assert_same(&want, &got, "on a slow GPU");
    }
    mock_set_time(1, 0);
    pl_stats_read(e, &stats);
    assert_true(stats.n_interrupted_steps <= 2);        /* before any was measured */
    assert_int_equal(stats.n_finished[PL_FINISH_ERROR], 0);
    assert_true(mock_n_commands() - n_at_first > 8 * n_steps);
    pl_close(e);
}

/* The GPU picks among rows of the head that are mostly beyond the vocabulary, all as likely. */
static void rows_without_a_token_are_never_picked(void **state)
{
    (void)state;
    static struct reply got;
    char usual[64];
    int32_t tokens[5];
    strcpy(usual, model_path);
    assert_true(tiny_model_write_as(model_path, false, TINY_HEADS, 5 * TINY_VOCAB));
    pl_engine *e = open_engine((pl_params){ .n_streams = 1, .backend = "metal" });
    prompt_of(tokens, 5, 9);
    for (uint32_t top_k = 0; top_k <= TINY_VOCAB; top_k += TINY_VOCAB / 2) {
        pl_request r = request_of(tokens, 5, 40, 1000);
        r.logprobs = false;
        r.sampling.top_k = top_k;
        run(e, &r, &got);
        assert_int_equal(got.n, 40);
        for (uint32_t i = 0; i < got.n; i++) assert_in_range(got.token[i], 0, TINY_VOCAB - 1);
    }
    pl_close(e);
    unlink(model_path);
    strcpy(model_path, usual);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_those_of_the_engines_sampler),
        cmocka_unit_test(a_failure_amid_steps_ahead),
        cmocka_unit_test(a_killed_step_is_computed_again),
        cmocka_unit_test(no_command_buffer_takes_longer_than_the_system_allows),
        cmocka_unit_test(rows_without_a_token_are_never_picked),
    };
    return cmocka_run_group_tests(tests, write_tiny_model, remove_tiny_model);
}
