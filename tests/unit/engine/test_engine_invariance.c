/* The reply to a request does not depend on who else is served, on how its prompt is cut into
 * steps, on the pages that hold its KV, on the prefix cache or on threads: bit for bit.
 *
 *   test_engine_invariance [MODEL [BACKEND]]    without a model: a tiny random one, on the first
 *                                               choice of this build and on the exact backend;
 *                                               with a backend: decoding against scoring alone */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "unit/engine/replies.h"
#include "unit/engine/tiny_model.h"

enum { N_OTHERS = 20 };

static uint32_t variant_step = 1;  /* a real model takes its time: every third */

/* Twenty others of all lengths, some with the subject's prompt in front; the subjects among them.
 */
static void run_among_others(pl_engine *e, const struct subject *s, const char *what)
{
    static struct reply greedy, seeded, forked, other;
    static int32_t prompt[N_OTHERS][200];
    pl_stream *others[N_OTHERS], *first = NULL, *second = NULL, *fork = NULL;
    for (uint32_t i = 0; i < N_OTHERS; i++) {
        const uint32_t n = 1 + i * 9;
        prompt_of(prompt[i], n, 100 + i);
        if (i % 3 == 0) memcpy(prompt[i], s->prompt, (n < N_PROMPT ? n : N_PROMPT) * 4);
        const pl_request r = request_of(prompt[i], n, 10 + i * 5, i % 2 ? 0 : 1.2f);
        others[i] = submit(e, &r);
        if (i == 4) {
            first = submit(e, &s->greedy);
            pl_request r_fork = s->seeded;
            r_fork.fork_of = first;
            fork = submit(e, &r_fork);
        }
        if (i == 11) second = submit(e, &s->seeded);
    }
    finish(first, &greedy);
    finish(fork, &forked);
    finish(second, &seeded);
    for (uint32_t i = 0; i < N_OTHERS; i++) finish(others[i], &other);
    assert_same(&s->greedy_reply, &greedy, what);
    assert_same(&s->seeded_reply, &seeded, what);
    assert_same(&s->seeded_reply, &forked, what);
}

static void test_reply_does_not_depend_on_others(void **state)
{
    (void)state;
    static const uint32_t sizes[] = { 1, 7, 64, 256 };
    static struct subject s;
    static struct reply again;
    make_subject(&s);

    for (uint32_t variant = 0; variant < 8; variant += variant_step) {
        const pl_params params = {
            .n_streams = variant == 3 ? 4 : 22, .n_threads = 1 + variant % 2,
            .step_tokens = sizes[variant % 4], .prefill_tokens = sizes[(variant + 1) % 4],
            .no_prefix_cache = variant & 4, .prefill_first = variant == 5
        };
        char what[64];
        snprintf(what, sizeof what, "variant %u", variant);
        pl_engine *e = open_engine(params);
        run_among_others(e, &s, what);
        run_among_others(e, &s, what);      /* other pages, and what the first round left cached */
        run(e, &s.greedy, &again);
        assert_same(&s.greedy_reply, &again, what);
        assert_true(again.usage.n_cached ==
                    (params.no_prefix_cache ? 0 : (N_PROMPT - 1) / 16 * 16));
        pl_close(e);
    }
}

/* While both slots are taken source and fork wait; the fork then computes one prompt column. */
static void test_fork_shares_the_prompt(void **state)
{
    (void)state;
    static struct subject s;
    static struct reply source_reply, fork_reply;
    make_subject(&s);
    pl_engine *e = open_engine((pl_params){ .n_streams = 2, .no_prefix_cache = true });
    const pl_request blocker = request_of(s.prompt, 1, 511, 0);
    pl_stream *blockers[2] = { submit(e, &blocker), submit(e, &blocker) };
    pl_stream *source = submit(e, &s.greedy);
    pl_request request = s.seeded;
    request.fork_of = source;
    pl_stream *fork = submit(e, &request);
    request.n_tokens--;
    pl_stream *none;
    assert_int_equal(pl_submit(e, &request, &none, NULL), PL_E_PARAM);  /* another prompt */
    for (int i = 0; i < 2; i++) pl_stream_close(blockers[i]);
    finish(source, &source_reply);
    finish(fork, &fork_reply);
    assert_same(&s.greedy_reply, &source_reply, "source");
    assert_same(&s.seeded_reply, &fork_reply, "fork");
    /* a state has gone on: what was kept of it would be in the index */
    assert_int_equal(fork_reply.usage.n_cached, pl_engine_plan(e)->state_bytes ? 0 : N_PROMPT - 1);
    pl_close(e);
}

/* What decoding computed column by column, scoring computes as a prompt: bit for bit the same. */
static void test_score_agrees_with_decoding(void **state)
{
    (void)state;
    static struct subject s;
    int32_t all[N_PROMPT + N_REPLY];
    make_subject(&s);
    memcpy(all, s.prompt, sizeof s.prompt);
    memcpy(all + N_PROMPT, s.greedy_reply.token, N_REPLY * sizeof *all);

    pl_engine *e = open_engine((pl_params){ .n_streams = 3, .n_threads = 2 });
    pl_score_result r;
    assert_int_equal(pl_score(e, all, N_PROMPT + N_REPLY, 5, &r, NULL), PL_OK);
    assert_int_equal(r.n_tokens, N_PROMPT + N_REPLY);
    for (int i = 0; i < N_REPLY; i++) {
        const pl_token_prob *best = &r.top[(N_PROMPT - 1 + i) * 5];
        assert_int_equal(best->token, s.greedy_reply.token[i]);
        assert_true(-r.nll[N_PROMPT - 1 + i] == s.greedy_reply.logprob[i]);
        for (int j = 1; j < 5; j++) assert_true(best[j - 1].logprob >= best[j].logprob);
    }
    pl_score_free(&r);
    assert_int_equal(pl_score(e, all, 0, 0, &r, NULL), PL_E_PARAM);
    assert_int_equal(pl_score(e, all, 1, 21, &r, NULL), PL_E_PARAM);
    pl_close(e);
}

static void assert_logits(pl_engine *e, const int32_t *tokens, size_t n, const float *want,
                          size_t n_vocab)
{
    float *got = malloc(n_vocab * sizeof *got);
    pl_err err;
    if (pl_logits(e, tokens, n, got, n_vocab, &err)) fail_msg("%s", err.text);
    assert_memory_equal(got, want, n_vocab * sizeof *got);
    free(got);
}

/* The logits after a sequence say the log-probabilities of the score, and are the same bits of a
 * sequence that is at hand already, of one that grew, and among others. */
static void test_logits_are_those_of_the_score(void **state)
{
    (void)state;
    static struct subject s;
    make_subject(&s);
    pl_engine *e = open_engine((pl_params){ .n_streams = 3, .n_threads = 2, .step_tokens = 24 });
    const size_t n_vocab = pl_engine_plan(e)->n_vocab;
    float *logits = calloc(n_vocab, sizeof *logits);
    assert_int_equal(pl_logits(e, s.prompt, N_PROMPT, logits, n_vocab, NULL), PL_OK);
    pl_score_result score;
    assert_int_equal(pl_score(e, s.prompt, N_PROMPT, 5, &score, NULL), PL_OK);
    double sum = 0;
    for (size_t i = 0; i < n_vocab; i++) sum += exp(logits[i]);
    for (int i = 0; i < 5; i++) {
        const pl_token_prob *best = &score.top[(N_PROMPT - 1) * 5 + i];
        assert_true(fabs(logits[best->token] - log(sum) - best->logprob) < 1e-4);
    }
    pl_score_free(&score);
    pl_stream *other = submit(e, &s.seeded);
    assert_logits(e, s.prompt, N_PROMPT, logits, n_vocab);
    pl_stream_close(other);
    pl_close(e);

    e = open_engine((pl_params){ .n_streams = 1, .n_threads = 1 });
    for (size_t n = N_PROMPT / 3; n < N_PROMPT; n += 7) {
        float *shorter = malloc(n_vocab * sizeof *shorter);
        assert_int_equal(pl_logits(e, s.prompt, n, shorter, n_vocab, NULL), PL_OK);
        assert_memory_not_equal(shorter, logits, n_vocab * sizeof *shorter);
        free(shorter);
    }
    assert_logits(e, s.prompt, N_PROMPT, logits, n_vocab);
    pl_err err;
    assert_int_equal(pl_logits(e, s.prompt, N_PROMPT, logits, n_vocab - 1, &err), PL_E_PARAM);
    assert_non_null(strstr(err.text, "n_vocab"));
    assert_int_equal(pl_logits(e, s.prompt, 0, logits, n_vocab, NULL), PL_E_PARAM);
    free(logits);
    pl_close(e);
}

/* The log-probabilities of a prompt beside its reply are the score's, and the reply is the one
 * without them: alone, among others, and of a prompt that is at hand already. */
static void test_a_prompt_is_scored_beside_its_reply(void **state)
{
    (void)state;
    static struct subject s;
    static struct reply got;
    make_subject(&s);
    pl_engine *e = open_engine((pl_params){ .n_streams = 3, .n_threads = 2, .step_tokens = 24 });
    pl_score_result want;
    assert_int_equal(pl_score(e, s.prompt, N_PROMPT, 5, &want, NULL), PL_OK);
    pl_request request = s.seeded;
    request.prompt_logprobs = true;
    request.n_top_logprobs = 5;
    for (int round = 0; round < 3; round++) {
        pl_stream *other = submit(e, round ? &s.seeded : &s.greedy), *stream = submit(e, &request);
        pl_event event;
        while (!pl_stream_next(stream, &event) || event.kind != PL_EVENT_TOKEN)
            pl_stream_wait(stream, 1000);
        for (uint32_t i = 0; i < N_PROMPT; i++) {
            float logprob;
            const pl_token_prob *top = pl_stream_prompt_logprob(stream, i, &logprob);
            assert_true(logprob == (i ? -want.nll[i - 1] : 0));
            if (i) assert_memory_equal(top, want.top + (i - 1) * 5, 5 * sizeof *top);
        }
        assert_int_equal(event.token, s.seeded_reply.token[0]);
        assert_true(event.logprob == s.seeded_reply.logprob[0]);
        finish(stream, &got);
        assert_int_equal(got.n, N_REPLY - 1);
        assert_memory_equal(got.token, s.seeded_reply.token + 1, got.n * sizeof *got.token);
        assert_memory_equal(got.logprob, s.seeded_reply.logprob + 1, got.n * sizeof *got.logprob);
        finish(other, &got);
        assert_same(round ? &s.seeded_reply : &s.greedy_reply, &got, "other");
    }
    static const int32_t long_prompt[600];
    request.tokens = long_prompt;
    request.n_tokens = 600;
    pl_stream *none;
    assert_int_equal(pl_submit(e, &request, &none, NULL), PL_E_CONTEXT);
    pl_score_free(&want);
    pl_close(e);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_reply_does_not_depend_on_others),
    cmocka_unit_test(test_fork_shares_the_prompt),
    cmocka_unit_test(test_score_agrees_with_decoding),
    cmocka_unit_test(test_logits_are_those_of_the_score),
    cmocka_unit_test(test_a_prompt_is_scored_beside_its_reply),
};

static int run_on_tiny_model(void)
{
    if (!tiny_model_write(model_path, true)) return 1;
    int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    backend_name = "exact";
    variant_step = 3;
    n_failed += cmocka_run_group_tests(tests, NULL, NULL);
    unlink(model_path);
    return n_failed;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest decoding[] = { cmocka_unit_test(test_score_agrees_with_decoding) };
    if (argc == 1) return run_on_tiny_model();
    snprintf(model_path, sizeof model_path, "%s", argv[1]);
    variant_step = 3;
    if (argc == 2) return cmocka_run_group_tests(tests, NULL, NULL);
    backend_name = argv[2];
    return cmocka_run_group_tests(decoding, NULL, NULL);
}
