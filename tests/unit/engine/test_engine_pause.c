/* Pages run short: streams are paused, and each ends with the bytes that it has alone. Of all
 * kinds, beside scores and embeddings, on a backend that computes on the caller's thread and on one
 * whose steps run ahead.
 *
 *   test_engine_pause [MODEL]   without a model: a tiny random one, and all tests */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "unit/engine/ahead_backend.h"
#include "unit/engine/kinds.h"
#include "unit/engine/tiny_model.h"

#ifndef N_ROUNDS
#define N_ROUNDS 2      /* of each variant; the second finds the first's pages in the index */
#endif

/* ---- scores and embeddings beside the streams ------------------------------------------------ */

enum { SCORED = N_KINDS - 1, N_SCORED = 1 + SCORED * 11, N_TOP = 3, N_POOLINGS = 3 };

static const pl_pooling poolings[] = { PL_POOLING_NONE, PL_POOLING_MEAN, PL_POOLING_LAST };
static pl_score_result score_alone;
static pl_embed_result embedded_alone[N_POOLINGS];

static void score_and_embed(pl_engine *e, pl_score_result *score, pl_embed_result *embedded)
{
    pl_embed_text text[N_KINDS];
    for (uint32_t k = 0; k < N_KINDS; k++) text[k] = (pl_embed_text){ prompt[k], 1 + k * 11 };
    assert_int_equal(pl_score(e, prompt[SCORED], N_SCORED, N_TOP, score, NULL), PL_OK);
    for (int i = 0; i < N_POOLINGS; i++)
        assert_int_equal(pl_embed(e, text, N_KINDS, poolings[i], &embedded[i], NULL), PL_OK);
}

static void make_scores(void)
{
    pl_engine *e = open_engine((pl_params){ .n_streams = 1, .no_prefix_cache = true });
    score_and_embed(e, &score_alone, embedded_alone);
    pl_close(e);
}

static void free_scores(pl_score_result *score, pl_embed_result *embedded)
{
    pl_score_free(score);
    for (int i = 0; i < N_POOLINGS; i++) pl_embed_free(&embedded[i]);
}

static void check_scores(pl_engine *e)
{
    pl_score_result score;
    pl_embed_result got[N_POOLINGS];
    score_and_embed(e, &score, got);
    assert_memory_equal(score.nll, score_alone.nll, (N_SCORED - 1) * sizeof *score.nll);
    assert_memory_equal(score.top + N_TOP, score_alone.top + N_TOP,
                        (N_SCORED - 2) * N_TOP * sizeof *score.top);
    for (int i = 0; i < N_POOLINGS; i++) {
        const pl_embed_result *want = &embedded_alone[i];
        assert_int_equal(got[i].n_rows, want->n_rows);
        assert_memory_equal(got[i].vector, want->vector,
                            want->n_rows * want->d_model * sizeof *want->vector);
    }
    free_scores(&score, got);
}

/* ---- all kinds in a small pool --------------------------------------------------------------- */

enum { N_LONG = 3, POOL = 448 };

static struct reply long_alone;

/* Each, some with a fork of it, one with its prompt scored, too, and before them some that may fill
 * the pool each. */
struct crowd {
    pl_stream *longest[N_LONG], *stream[N_KINDS], *fork[N_KINDS], *scored;
};

static pl_request long_request(void)
{
    pl_request r = request_of_kind(2);
    r.max_tokens = POOL - r.n_tokens;
    return r;
}

static void submit_all(pl_engine *e, struct crowd *c)
{
    *c = (struct crowd){ 0 };
    const pl_request longest = long_request();
    for (int i = 0; i < N_LONG; i++) c->longest[i] = submit(e, &longest);
    for (uint32_t k = 0; k < N_KINDS; k++) {
        pl_request r = request_of_kind(k);
        c->stream[k] = submit(e, &r);
        r.fork_of = c->stream[k];
        if (k % 4 == 1) c->fork[k] = submit(e, &r);
    }
    pl_request r = request_of_kind(SCORED);
    r.prompt_logprobs = true;
    c->scored = submit(e, &r);
}

static void check_scored_prompt(pl_stream *s)
{
    static struct reply got;
    pl_event event;
    while (!pl_stream_next(s, &event) || event.kind != PL_EVENT_TOKEN) pl_stream_wait(s, 1000);
    for (uint32_t i = 1; i < N_SCORED; i++) {
        float logprob;
        pl_stream_prompt_logprob(s, i, &logprob);
        assert_true(logprob == -score_alone.nll[i - 1]);
    }
    assert_int_equal(event.token, alone[SCORED].token[0]);
    finish(s, &got);
    assert_int_equal(got.n, alone[SCORED].n - 1);
    assert_memory_equal(got.token, alone[SCORED].token + 1, got.n * sizeof *got.token);
}

static void read_all(struct crowd *c)
{
    static struct reply got;
    for (int i = 0; i < N_LONG; i++) {
        finish(c->longest[i], &got);
        assert_same(&long_alone, &got, "one of the longest");
    }
    for (uint32_t k = 0; k < N_KINDS; k++) {
        check(k, c->stream[k]);
        if (c->fork[k]) check(k, c->fork[k]);
    }
    check_scored_prompt(c->scored);
}

/* 29 streams of up to 448 tokens in a pool of 448. */
static void test_replies_are_those_of_streams_alone(void **state)
{
    (void)state;
    uint64_t n_pauses = 0, n_recomputed = 0;
    for (uint32_t variant = 0; variant < 8; variant++) {
        const pl_params params = {
            .backend = variant & 1 ? "ahead" : "cpu", .n_threads = 1,
            .kv_tokens = POOL, .ctx_tokens = POOL, .n_streams = variant & 4 ? 5 : 14,
            .step_tokens = 48, .prefill_tokens = variant & 4 ? 16 : 32,
            .no_prefix_cache = variant & 2
        };
        pl_engine *e = open_engine(params);
        struct crowd crowd;
        pl_stats stats;
        for (int round = 0; round < N_ROUNDS; round++) {
            submit_all(e, &crowd);
            check_scores(e);
            read_all(&crowd);
        }
        while (pl_stats_read(e, &stats), stats.n_running) continue;
        n_pauses += stats.n_pauses;
        n_recomputed += stats.n_recomputed_tokens;
        assert_int_equal(stats.n_paused, 0);
        assert_int_equal(stats.n_pages_used, 0);
        pl_close(e);
    }
    assert_true(n_pauses >= 8);
    assert_true(n_recomputed > 100);
}

/* ---- eight chats in the pool of two ---------------------------------------------------------- */

enum { N_CHATS = 8, CTX = 4096, SMALL_CTX = 1024, CHAT_PROMPT = 54 };

static uint32_t n_decoding(pl_engine *e)
{
    pl_slot slot[20];
    uint32_t n = 0;
    assert_int_equal(pl_slots_read(e, slot, 20), 20);
    for (int i = 0; i < 20; i++) n += slot[i].state == PL_SLOT_DECODE && slot[i].n_reply > 16;
    return n;
}

static uint32_t n_slots_paused(pl_engine *e)
{
    pl_slot slot[20];
    uint32_t n = 0;
    pl_slots_read(e, slot, 20);
    for (int i = 0; i < 20; i++) n += slot[i].state == PL_SLOT_PAUSED;
    return n;
}

static void read_together(pl_stream **s, struct reply *got)
{
    pl_event event;
    for (uint32_t n_left = N_CHATS; n_left;) {
        for (int i = 0; i < N_CHATS; i++) {
            while (s[i] && pl_stream_next(s[i], &event)) {
                take(&got[i], &event);
                if (event.kind != PL_EVENT_END) continue;
                pl_stream_close(s[i]);
                s[i] = NULL;
                n_left--;
            }
        }
    }
}

/* None of them says how long its reply may be. Nobody reads at first, so that they come to a halt
 * side by side; then they want four times what there is. */
static void test_eight_chats_run_side_by_side_in_the_pool_of_two(void **state)
{
    (void)state;
    static int32_t tokens[N_CHATS][CHAT_PROMPT];
    static struct reply want, got[N_CHATS];
    pl_request r[N_CHATS];
    pl_stream *s[N_CHATS];
    pl_stats stats;
    pl_engine *e = open_engine((pl_params){ .n_streams = 20, .n_threads = 1, .ctx_tokens = CTX,
                                            .kv_tokens = 2 * CTX });
    for (int i = 0; i < N_CHATS; i++) {
        prompt_of(tokens[i], CHAT_PROMPT, 50 + (uint64_t)i);
        r[i] = request_of(tokens[i], CHAT_PROMPT, 0, 0.9f);
        r[i].n_top_logprobs = 20;   /* a ring holds fewer of these than a reply has tokens */
        s[i] = submit(e, &r[i]);
    }
    while (n_decoding(e) < N_CHATS) continue;
    pl_stats_read(e, &stats);
    assert_int_equal(stats.n_pauses, 0);
    read_together(s, got);
    pl_stats_read(e, &stats);
    assert_true(stats.n_pauses > 0);
    pl_close(e);

    e = open_engine((pl_params){ .n_streams = 1, .ctx_tokens = CTX, .no_prefix_cache = true });
    for (int i = 0; i < N_CHATS; i++) {
        run(e, &r[i], &want);
        assert_int_equal(want.n, CTX - CHAT_PROMPT);
        assert_same(&want, &got[i], "a chat");
    }
    pl_close(e);
}

/* ---- who leaves while paused ----------------------------------------------------------------- */

/* Its slot is free again, and the others go on. */
static void test_a_paused_stream_that_is_closed(void **state)
{
    (void)state;
    static int32_t tokens[3][CHAT_PROMPT];
    static struct reply first;
    pl_stats stats;
    for (int round = 0; round < 10; round++) {
        pl_stream *s[3];
        pl_engine *e = open_engine((pl_params){ .n_streams = 20, .n_threads = 1,
                                                .ctx_tokens = SMALL_CTX,
                                                .kv_tokens = SMALL_CTX });
        for (int i = 0; i < 3; i++) {
            prompt_of(tokens[i], CHAT_PROMPT, 60 + (uint64_t)i);
            const pl_request r = request_of(tokens[i], CHAT_PROMPT, 0, 0);
            s[i] = submit(e, &r);
        }
        bool was_seen = false;
        pl_event event;
        for (uint32_t n = 0; n < SMALL_CTX - CHAT_PROMPT && !was_seen;) {   /* the others stall */
            while (!pl_stream_next(s[0], &event)) pl_stream_wait(s[0], 1000);
            n += event.kind == PL_EVENT_TOKEN;
            was_seen = n_slots_paused(e) > 0;
        }
        assert_true(was_seen);
        for (int i = 1; i < 3; i++) pl_stream_close(s[i]);
        finish(s[0], &first);
        assert_int_equal(first.finish, PL_FINISH_LENGTH);
        while (pl_stats_read(e, &stats), stats.n_running) continue;
        assert_int_equal(stats.n_paused, 0);
        assert_int_equal(stats.n_pages_used, 0);
        pl_close(e);
    }
}

static void make_long(void)
{
    pl_engine *e = open_engine((pl_params){ .n_streams = 1, .no_prefix_cache = true });
    const pl_request r = long_request();
    run(e, &r, &long_alone);
    assert_int_equal(long_alone.n, r.max_tokens);
    pl_close(e);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies_are_those_of_streams_alone),
        cmocka_unit_test(test_eight_chats_run_side_by_side_in_the_pool_of_two),
        cmocka_unit_test(test_a_paused_stream_that_is_closed),
    };
    const struct CMUnitTest on_a_model[] = { tests[0] };
    if (argc > 1) snprintf(model_path, sizeof model_path, "%s", argv[1]);
    else if (!tiny_model_write(model_path, true)) return 1;
    make_replies();
    make_scores();
    make_long();
    const int n_failed = argc > 1 ? cmocka_run_group_tests(on_a_model, NULL, NULL)
                                  : cmocka_run_group_tests(tests, NULL, NULL);
    free_scores(&score_alone, embedded_alone);
    if (argc == 1) remove(model_path);
    return n_failed;
}
