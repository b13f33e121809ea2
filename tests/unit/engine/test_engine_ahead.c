/* Steps that run ahead change no reply: what streams of all kinds get together from a backend that
 * picks tokens itself is what each gets alone from one that does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "unit/engine/ahead_backend.h"
#include "unit/engine/kinds.h"
#include "unit/engine/replies.h"
#include "unit/engine/tiny_model.h"

enum { N_ROUNDS = 3 };

static pl_engine *open_ahead(uint32_t n_streams, uint32_t step_tokens)
{
    return open_engine((pl_params){ .backend = "ahead", .n_streams = n_streams, .n_threads = 2,
                                    .step_tokens = step_tokens, .prefill_tokens = 16 });
}

/* All without the one that needs the engine's own sampler, so that steps do run ahead, then with
 * it. */
static void test_replies_are_those_of_a_backend_without(void **state)
{
    (void)state;
    for (uint32_t n_streams = 2; n_streams <= 12; n_streams += 5) {
        pl_engine *e = open_ahead(n_streams, 64);
        for (uint32_t round = 0; round < N_ROUNDS; round++) {
            const bool with_own = round == 1;
            pl_stream *s[N_KINDS];
            ahead.n_on_top = 0;
            for (uint32_t k = 0; k < N_KINDS; k++) {
                const pl_request r = request_of_kind(k);
                s[k] = with_own || k < OWN_KIND ? submit(e, &r) : NULL;
            }
            for (uint32_t k = 0; k < N_KINDS; k++)
                if (s[k]) check(k, s[k]);
            if (!with_own) assert_true(ahead.n_on_top > 40);
        }
        pl_close(e);
    }
}

/* How many steps were started on top of another while the kind ran beside one that is greedy. */
static uint64_t n_ahead_beside(pl_engine *e, uint32_t kind)
{
    pl_request greedy = request_of_kind(3), r = request_of_kind(kind);
    static struct reply out;
    r.max_tokens = greedy.max_tokens = 60;
    ahead.n_on_top = 0;
    pl_stream *of_kind = submit(e, &r);     /* first: a grammar takes its time */
    pl_stream *beside = submit(e, &greedy);
    finish(of_kind, &out);
    finish(beside, &out);
    return ahead.n_on_top;
}

/* What one stream wants of its tokens costs the others nothing: but for typical sampling, grammars
 * and chains. */
static void test_picks_of_every_kind_let_steps_run_ahead(void **state)
{
    (void)state;
    pl_engine *e = open_ahead(2, 64);
    for (uint32_t k = 0; k < N_KINDS; k++) {
        uint64_t n = n_ahead_beside(e, k);
        /* on a busy machine one may have ended before the other came */
        for (int again = 0; again < 50 && k >= OWN_KIND && n > 15; again++)
            n = n_ahead_beside(e, k);
        if (k >= OWN_KIND) assert_in_range(n, 0, 15);
        else if (n < 50) fail_msg("beside kind %u, %u steps ran ahead", k, (unsigned)n);
    }
    pl_close(e);
}

/* More than a backend takes: the limit is met by what the stream itself has said, so a reply is the
 * same alone and among others. */
static void test_more_touched_than_a_backend_takes(void **state)
{
    (void)state;
    enum { N_MOST = AHEAD_MAX_TOUCHED, N_REPLY_TOKENS = 40 };
    static int32_t tokens[N_MOST + 20];
    static struct reply want, got;
    pl_engine *alone_engine = open_engine((pl_params){ .n_streams = 1, .no_prefix_cache = true });
    pl_engine *e = open_ahead(2, 200);
    for (int32_t i = 0; i < N_MOST + 20; i++) tokens[i] = i;
    for (uint32_t n = N_MOST - 50; n < N_MOST + 20; n += 15) {
        pl_request r = request_of(tokens, n, N_REPLY_TOKENS, 0.9f);
        r.sampling.presence_penalty = 1;
        r.sampling.penalty_last_n = 500;
        run(alone_engine, &r, &want);
        ahead.n_on_top = 0;
        run(e, &r, &got);
        assert_same(&want, &got, "many touched");
        if (n + N_REPLY_TOKENS < N_MOST) assert_in_range(ahead.n_on_top, 30, N_REPLY_TOKENS);
        if (n > N_MOST) assert_int_equal(ahead.n_on_top, 0);
    }
    pl_close(alone_engine);
    pl_close(e);
}

static void read_events(pl_stream *s, uint64_t n)
{
    pl_event event;
    for (; n; n--)
        if (pl_stream_wait(s, 1000)) pl_stream_next(s, &event);
}

/* Streams that are let go while a column of theirs is in flight: their pages serve others at once.
 */
static void test_streams_that_leave(void **state)
{
    (void)state;
    pl_engine *e = open_ahead(4, 32);
    struct rng rng;
    rng_seed(&rng, 5);
    for (uint32_t round = 0; round < 40; round++) {
        const pl_request leaving = request_of_kind(2), staying = request_of_kind(4);
        pl_stream *leaves = submit(e, &leaving), *stays = submit(e, &staying);
        read_events(leaves, rng_below(&rng, 12));
        pl_stream_close(leaves);
        check(4, stays);
    }
    pl_close(e);
}

/* The end of a prompt, whose token is the engine's to pick, runs ahead: a stream that leaves then
 * has nobody to pick for. */
static void test_streams_that_leave_with_their_own_pick_in_flight(void **state)
{
    (void)state;
    pl_engine *e = open_engine((pl_params){ .backend = "ahead", .n_streams = 2, .n_threads = 1,
                                            .step_tokens = 32, .prefill_tokens = 16,
                                            .no_prefix_cache = true });
    for (uint32_t round = 0; round < 150; round++) {
        const pl_request leaving = request_of_kind(OWN_KIND), staying = request_of_kind(3);
        pl_stream *stays = submit(e, &staying);
        read_events(stays, 2);
        pl_stream *leaves = submit(e, &leaving);
        read_events(stays, round % 15);
        pl_stream_close(leaves);
        pl_stream_close(stays);
    }
    pl_close(e);
}

/* A reader that sleeps: its stream stalls with a column in flight, and nothing is lost. */
static void test_a_slow_reader(void **state)
{
    (void)state;
    static struct reply slow, quick;
    const pl_request r = { .tokens = prompt[0], .n_tokens = 1, .max_tokens = 500,
                           .sampling = pl_sampling_default(), .ignore_eos = true };
    pl_engine *e = open_ahead(2, 32);
    pl_stream *sleeper = submit(e, &r);
    for (int i = 0; i < 3; i++) run(e, &r, &quick);
    finish(sleeper, &slow);
    assert_same(&quick, &slow, "slow reader");
    assert_int_equal(slow.n, 500);
    pl_close(e);
}

static void test_fork_and_score_between(void **state)
{
    (void)state;
    static struct reply r;
    pl_engine *e = open_ahead(4, 32);
    pl_request request = request_of_kind(1);
    pl_stream *source = submit(e, &request);
    request.fork_of = source;
    pl_stream *fork = submit(e, &request);
    pl_score_result score;
    assert_int_equal(pl_score(e, prompt[3], MAX_PROMPT, 0, &score, NULL), PL_OK);
    pl_score_free(&score);
    check(1, source);
    finish(fork, &r);
    assert_same(&alone[1], &r, "fork");
    pl_close(e);
}

/* A step fails while another is in flight: their streams end with an error, the next are whole. */
static void test_a_failing_step(void **state)
{
    (void)state;
    static struct reply r;
    pl_engine *e = open_ahead(4, 64);
    for (uint32_t at = 1; at < 12; at += 3) {
        const pl_request request = request_of_kind(3);
        ahead.fail_at = at;
        pl_stream *s = submit(e, &request);
        finish(s, &r);
        assert_int_equal(r.finish, PL_FINISH_ERROR);
        assert_true(r.n < alone[3].n && !memcmp(r.token, alone[3].token, r.n * sizeof *r.token));
        check(3, submit(e, &request));
    }
    pl_close(e);
}

/* Whichever steps the system ends, decoding or reading prompts, with another on top or none, every
 * stream gets what it gets alone; typical sampling, grammars and chains (the last kinds) are the
 * engine's own. */
static void test_interrupted_steps_are_computed_again(void **state)
{
    (void)state;
    static const uint32_t every[] = { 4, 5, 7, 16 };
    pl_stats stats;
    for (size_t i = 0; i < sizeof every / sizeof *every; i++) {
        pl_engine *e = open_ahead(4 + (uint32_t)i, 64);
        pl_stream *s[N_KINDS];
        ahead.interrupt_every = every[i];
        for (uint32_t k = 0; k < (i % 2 ? OWN_KIND : N_KINDS); k++) {
            const pl_request r = request_of_kind(k);
            s[k] = submit(e, &r);
        }
        for (uint32_t k = 0; k < (i % 2 ? OWN_KIND : N_KINDS); k++) check(k, s[k]);
        pl_stats_read(e, &stats);
        assert_true(stats.n_interrupted_steps > 5);
        ahead.interrupt_every = 0;
        pl_close(e);
    }
}

/* A scored prompt's outputs are many columns, which no cut may part. */
static void test_an_interrupted_score(void **state)
{
    (void)state;
    pl_score_result want, got;
    pl_err err;
    pl_engine *e = open_ahead(2, 64);
    if (pl_score(e, prompt[3], 100, 3, &want, &err)) fail_msg("%s", err.text);
    ahead.interrupt_every = 4;
    for (int i = 0; i < 3; i++) {
        if (pl_score(e, prompt[3], 100, 3, &got, &err)) fail_msg("%s", err.text);
        assert_memory_equal(got.nll, want.nll, 99 * sizeof *want.nll);
        for (int k = 0; k < 300; k++) {
            assert_int_equal(got.top[k].token, want.top[k].token);
            assert_true(got.top[k].logprob == want.top[k].logprob);
        }
        pl_score_free(&got);
    }
    ahead.interrupt_every = 0;
    pl_score_free(&want);
    pl_close(e);
}

/* Embeddings beside chats, of steps some of which are interrupted: the mean takes no row twice. */
static void test_interrupted_embeddings(void **state)
{
    (void)state;
    static const pl_pooling kinds[] = { PL_POOLING_NONE, PL_POOLING_MEAN, PL_POOLING_LAST };
    pl_embed_text text[N_KINDS];
    for (uint32_t k = 0; k < N_KINDS; k++)
        text[k] = (pl_embed_text){ prompt[k], 1 + k * 11 };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        pl_embed_result want, got;
        pl_engine *e = open_engine((pl_params){ .n_streams = 1, .no_prefix_cache = true });
        assert_int_equal(pl_embed(e, text, N_KINDS, kinds[i], &want, NULL), PL_OK);
        pl_close(e);
        e = open_ahead(5, 32);
        ahead.interrupt_every = 4;
        const pl_request r = request_of_kind(3);
        pl_stream *chat = submit(e, &r);
        assert_int_equal(pl_embed(e, text, N_KINDS, kinds[i], &got, NULL), PL_OK);
        check(3, chat);
        ahead.interrupt_every = 0;
        pl_close(e);
        assert_int_equal(got.n_rows, want.n_rows);
        assert_memory_equal(got.vector, want.vector, got.n_rows * got.d_model * sizeof(float));
        pl_embed_free(&want);
        pl_embed_free(&got);
    }
}

/* Again and again: the streams of the step end, and the engine goes on. */
static void test_a_step_that_is_always_interrupted_fails(void **state)
{
    (void)state;
    static struct reply r;
    const pl_request request = request_of_kind(3);
    pl_engine *e = open_ahead(2, 64);
    ahead.interrupt_every = 1;
    finish(submit(e, &request), &r);
    assert_int_equal(r.finish, PL_FINISH_ERROR);
    ahead.interrupt_every = 0;
    check(3, submit(e, &request));
    pl_close(e);
}

/* A backend that nobody asked for by name, and that cannot be opened. */
static void test_the_cpu_stands_in_for_a_backend_that_does_not_work(void **state)
{
    (void)state;
    pl_err err;
    pl_engine *e;
    const pl_request r = request_of_kind(2);
    ahead.is_first_choice = ahead.is_broken = true;
    e = open_engine((pl_params){ .n_streams = 2 });
    assert_string_equal(pl_engine_plan(e)->backend, "cpu");
    assert_string_equal(pl_engine_plan(e)->gpu_refusal, "ahead: no GPU that this runs on");
    check(2, submit(e, &r));
    pl_close(e);
    const pl_params asked = { .model_path = model_path, .backend = "ahead", .ctx_tokens = 512 };
    assert_int_equal(pl_open(&e, &asked, &err), PL_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "no GPU"));
    ahead.is_broken = false;
    e = open_engine((pl_params){ .n_streams = 2 });
    assert_string_equal(pl_engine_plan(e)->backend, "ahead");
    assert_string_equal(pl_engine_plan(e)->gpu_refusal, "");
    check(2, submit(e, &r));
    pl_close(e);
    ahead.is_first_choice = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies_are_those_of_a_backend_without),
        cmocka_unit_test(test_picks_of_every_kind_let_steps_run_ahead),
        cmocka_unit_test(test_more_touched_than_a_backend_takes),
        cmocka_unit_test(test_interrupted_steps_are_computed_again),
        cmocka_unit_test(test_an_interrupted_score),
        cmocka_unit_test(test_interrupted_embeddings),
        cmocka_unit_test(test_a_step_that_is_always_interrupted_fails),
        cmocka_unit_test(test_streams_that_leave),
        cmocka_unit_test(test_streams_that_leave_with_their_own_pick_in_flight),
        cmocka_unit_test(test_a_slow_reader),
        cmocka_unit_test(test_fork_and_score_between),
        cmocka_unit_test(test_a_failing_step),
        cmocka_unit_test(test_the_cpu_stands_in_for_a_backend_that_does_not_work),
    };
    if (!tiny_model_write(model_path, true)) return 1;
    make_replies();
    const int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove(model_path);
    return n_failed;
}
