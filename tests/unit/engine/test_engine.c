/* The whole engine through its public face, on a tiny model: text, queueing, cancelling, draining,
 * slow readers, the plan. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "gguf/gguf.h"
#include "tokenizer/tokenizer.h"
#include "unit/engine/replies.h"
#include "unit/engine/tiny_model.h"

/* ---- text ----------------------------------------------------------------------------------- */

/* A stop string taken out of the reply's own middle ends it there, whichever token it crosses and
 * whichever of two it is. */
static void test_stop_strings(void **state)
{
    (void)state;
    static struct subject s;
    static struct reply r;
    make_subject(&s);
    pl_engine *e = open_engine((pl_params){ .n_streams = 2 });
    for (size_t at = 5; at + 6 < s.seeded_reply.n_text; at += 7) {
        char stop[7] = { 0 };
        memcpy(stop, s.seeded_reply.text + at, 6);
        if (strlen(stop) != 6) continue;
        const int index = at % 2;
        const char *stops[] = { "never in a reply of this length, surely", "nor this one" };
        stops[index] = stop;
        pl_request request = s.seeded;
        request.stop = stops;
        request.n_stop = 2;
        run(e, &request, &r);
        const char *found = memmem(s.seeded_reply.text, s.seeded_reply.n_text, stop, 6);
        assert_int_equal(r.finish, PL_FINISH_STOP);
        assert_int_equal(r.stop_index, index);
        assert_int_equal(r.n_text, found - s.seeded_reply.text);
        assert_memory_equal(r.text, s.seeded_reply.text, r.n_text);
    }
    pl_close(e);
}

static bool is_utf8(const char *text, size_t n)
{
    for (size_t i = 0; i < n;) {
        const unsigned char c = (unsigned char)text[i];
        const size_t length = c < 0x80       ? 1
                              : c >> 5 == 6  ? 2
                              : c >> 4 == 14 ? 3
                              : c >> 3 == 30 ? 4
                                             : 0;
        if (length == 0 || i + length > n) return false;
        for (size_t j = 1; j < length; j++)
            if (((unsigned char)text[i + j] & 0xc0) != 0x80) return false;
        i += length;
    }
    return true;
}

static void test_events_hold_whole_characters(void **state)
{
    (void)state;
    int32_t prompt[10];
    pl_engine *e = open_engine((pl_params){ 0 });
    prompt_of(prompt, 10, 3);
    pl_request r = request_of(prompt, 10, 400, 2.0f);
    r.n_top_logprobs = 3;
    pl_stream *s = submit(e, &r);
    pl_event event;
    uint32_t n_tokens = 0;
    do {
        while (!pl_stream_next(s, &event)) pl_stream_wait(s, 1000);
        assert_true(is_utf8(event.text, event.n_text_bytes));
        if (event.kind != PL_EVENT_TOKEN) continue;
        n_tokens++;
        assert_int_equal(event.n_top, 3);
        assert_true(event.top[0].logprob >= event.top[2].logprob);
    } while (event.kind != PL_EVENT_END);
    assert_int_equal(n_tokens, 400);
    pl_stream_close(s);
    pl_close(e);
}

static void test_end_token_ends_a_reply(void **state)
{
    (void)state;
    static struct reply r;
    int32_t prompt[4];
    pl_engine *e = open_engine((pl_params){ 0 });
    prompt_of(prompt, 4, 3);
    const pl_logit_bias bias = { TINY_END, 100 };
    pl_request request = request_of(prompt, 4, 20, 0);
    request.sampling.bias = &bias;
    request.sampling.n_bias = 1;
    request.ignore_eos = false;
    run(e, &request, &r);
    assert_int_equal(r.finish, PL_FINISH_STOP);
    assert_int_equal(r.stop_index, -1);
    assert_int_equal(r.n, 0);
    request.ignore_eos = true;      /* a control token has no text */
    run(e, &request, &r);
    assert_int_equal(r.n, 20);
    assert_int_equal(r.n_text, 0);

    pl_logit_bias none[TINY_VOCAB];
    for (int i = 0; i < TINY_VOCAB; i++) none[i] = (pl_logit_bias){ i, -INFINITY };
    request.sampling.bias = none;
    request.sampling.n_bias = TINY_VOCAB;
    run(e, &request, &r);           /* every token forbidden */
    assert_int_equal(r.finish, PL_FINISH_ERROR);
    pl_close(e);
}

/* Behind its last event a stream has none: a wait takes as long as it may. */
static void test_waiting_in_vain(void **state)
{
    (void)state;
    int32_t prompt[4];
    pl_stream *s;
    pl_err err = { 0 };
    pl_event event = { .kind = PL_EVENT_TOKEN };
    pl_engine *e = open_engine((pl_params){ 0 });
    prompt_of(prompt, 4, 3);
    const pl_request request = request_of(prompt, 4, 3, 0);
    assert_int_equal(pl_submit(e, &request, &s, &err), PL_OK);
    while (event.kind != PL_EVENT_END) {
        assert_true(pl_stream_wait(s, 60000));
        assert_true(pl_stream_next(s, &event));
    }
    assert_false(pl_stream_next(s, &event));
    assert_false(pl_stream_wait(s, 0));
    const uint64_t start_ns = clock_ns();
    assert_false(pl_stream_wait(s, 3));
    assert_true(clock_ns() - start_ns >= 3000000);
    pl_stream_close(s);
    pl_close(e);
}

static void test_text_functions(void **state)
{
    (void)state;
    pl_err err;
    pl_engine *e = open_engine((pl_params){ .text_only = true });
    pl_tokens tokens;
    pl_text text;

    assert_int_equal(pl_tokenize(e, "hi <|turn|>", 11, PL_TOKENIZE_SPECIAL, &tokens, &err), PL_OK);
    assert_int_equal(tokens.n, 4);
    assert_int_equal(tokens.ids[3], TINY_TURN);
    assert_int_equal(pl_detokenize(e, tokens.ids, tokens.n, false, &text, &err), PL_OK);
    assert_string_equal(text.bytes, "hi ");
    pl_text_free(&text);
    pl_tokens_free(&tokens);

    static const char chat[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"a <|turn|> b\"}],"
                               "\"add_generation_prompt\":true}";
    assert_int_equal(pl_chat_prompt(e, chat, strlen(chat), &text, &tokens, &err), PL_OK);
    assert_string_equal(text.bytes, "<|turn|>user:a <|turn|> b<|end|><|turn|>bot:");
    int n_turns = 0;
    for (size_t i = 0; i < tokens.n; i++) n_turns += tokens.ids[i] == TINY_TURN;
    assert_int_equal(n_turns, 2);   /* the one in the content stays text */
    pl_text_free(&text);
    pl_tokens_free(&tokens);
    assert_int_equal(pl_chat_prompt(e, "{", 1, &text, &tokens, &err), PL_E_PARAM);

    const int32_t id = 1;
    const pl_request r = request_of(&id, 1, 1, 0);
    pl_stream *s;
    assert_int_equal(pl_submit(e, &r, &s, &err), PL_E_PARAM);
    assert_null(s);
    pl_close(e);
}

/* ---- queue ---------------------------------------------------------------------------------- */

static pl_status try_submit(pl_engine *e, const pl_request *r, pl_err *err)
{
    pl_stream *s = NULL;
    const pl_status st = pl_submit(e, r, &s, err);
    assert_true((s != NULL) == (st == PL_OK));
    pl_stream_close(s);
    return st;
}

static void test_bad_requests(void **state)
{
    (void)state;
    pl_err err;
    static int32_t prompt[600];
    pl_engine *e = open_engine((pl_params){ .ctx_tokens = 512, .kv_tokens = 256 });
    pl_request r = request_of(prompt, 0, 10, 0);
    assert_int_equal(try_submit(e, &r, &err), PL_E_PARAM);
    r = request_of(prompt, 512, 10, 0);
    assert_int_equal(try_submit(e, &r, &err), PL_E_CONTEXT);
    assert_non_null(strstr(err.text, "512 tokens"));
    assert_non_null(strstr(err.text, "a context of 256"));  /* no more than the pool has */
    assert_non_null(strstr(err.text, "--kv-tokens"));
    assert_int_equal(pl_engine_plan(e)->ctx_tokens, 256);
    r = request_of(prompt, 256, 1, 0);
    assert_int_equal(try_submit(e, &r, &err), PL_E_CONTEXT);
    r = request_of(prompt, 100, 200, 0);    /* a reply ends where the context does */
    assert_int_equal(try_submit(e, &r, &err), PL_OK);
    r = request_of(prompt, 100, 0, 0);
    assert_int_equal(try_submit(e, &r, &err), PL_OK);
    r = request_of(prompt, 10, 10, NAN);
    assert_int_equal(try_submit(e, &r, &err), PL_E_PARAM);
    r = request_of(prompt, 10, 10, 0);
    prompt[3] = TINY_VOCAB;
    assert_int_equal(try_submit(e, &r, &err), PL_E_PARAM);
    prompt[3] = -1;
    assert_int_equal(try_submit(e, &r, &err), PL_E_PARAM);
    prompt[3] = 0;
    r.n_top_logprobs = 21;
    assert_int_equal(try_submit(e, &r, &err), PL_E_PARAM);
    const char *stops[17] = { "" };
    r.n_top_logprobs = 0;
    r.stop = stops;
    r.n_stop = 1;
    assert_int_equal(try_submit(e, &r, &err), PL_E_PARAM);
    r.n_stop = 17;
    assert_int_equal(try_submit(e, &r, &err), PL_E_PARAM);
    pl_close(e);

    pl_params params = { .model_path = model_path, .ctx_tokens = TINY_CTX + 1 };
    assert_int_equal(pl_open(&e, &params, &err), PL_E_PARAM);
    assert_non_null(strstr(err.text, "4097"));
    assert_non_null(strstr(err.text, "4096"));
    assert_null(e);
    params = (pl_params){ .model_path = "/nonexistent.gguf" };
    assert_int_equal(pl_open(&e, &params, &err), PL_E_IO);
}

static void test_queue_is_bounded(void **state)
{
    (void)state;
    static struct reply r;
    int32_t prompt[20];
    pl_err err;
    pl_stream *s[3];
    pl_engine *e =
        open_engine((pl_params){ .n_streams = 1, .queue_requests = 2, .ctx_tokens = 4096 });
    prompt_of(prompt, 20, 1);
    const pl_request slow = request_of(prompt, 20, 4000, 0);
    for (int i = 0; i < 3; i++) s[i] = submit(e, &slow);   /* one runs, two wait */
    assert_int_equal(try_submit(e, &slow, &err), PL_E_BUSY);

    pl_stream_cancel(s[2]);         /* waiting: ends without having been admitted */
    finish(s[2], &r);
    assert_int_equal(r.finish, PL_FINISH_CANCELLED);
    assert_false(r.was_admitted);
    s[2] = submit(e, &slow);        /* there is room again */
    pl_stream_close(s[1]);          /* closed while it waits */
    pl_stream_close(s[0]);          /* and while it runs */

    pl_drain(e);
    assert_int_equal(try_submit(e, &slow, &err), PL_E_CLOSING);
    pl_stream_cancel(s[2]);
    finish(s[2], &r);
    assert_int_equal(r.finish, PL_FINISH_CANCELLED);
    pl_stats stats;
    do pl_stats_read(e, &stats);    /* the closed ones end in their own time */
    while (stats.n_finished[PL_FINISH_CANCELLED] < 4);
    assert_int_equal(stats.n_rejected_busy, 1);
    assert_int_equal(stats.n_rejected_closing, 1);
    assert_int_equal(stats.n_requests, 4);
    assert_int_equal(stats.n_finished[PL_FINISH_CANCELLED], 4);
    pl_close(e);

    e = open_engine((pl_params){ .n_streams = 1, .queue_tokens = 30, .ctx_tokens = 4096 });
    s[0] = submit(e, &slow);
    while (pl_stats_read(e, &stats), stats.n_queued) continue;
    s[1] = submit(e, &slow);
    assert_int_equal(try_submit(e, &slow, &err), PL_E_BUSY);
    pl_stream_close(s[0]);
    pl_stream_close(s[1]);
    pl_close(e);                    /* with streams that may not have ended yet */
}

/* Two hundred over four slots, each equal to its reply alone. */
static void test_many_requests_over_few_slots(void **state)
{
    (void)state;
    enum { N = 200, N_KINDS = 10 };
    static struct reply alone[N_KINDS], r;
    static int32_t prompt[N_KINDS][40];
    pl_request request[N_KINDS];
    pl_stream *s[N];
    pl_engine *e = open_engine((pl_params){ .n_streams = 4, .kv_tokens = 300, .n_threads = 2 });
    for (int i = 0; i < N_KINDS; i++) {
        prompt_of(prompt[i], 40, 50 + (uint64_t)i);
        request[i] = request_of(prompt[i], 20 + 2 * (uint32_t)i, 5 + (uint32_t)i * 3, i % 2);
        run(e, &request[i], &alone[i]);
    }
    for (int i = 0; i < N; i++) s[i] = submit(e, &request[i % N_KINDS]);
    for (int i = 0; i < N; i++) {
        finish(s[i], &r);
        assert_same(&alone[i % N_KINDS], &r, "among 200");
    }
    pl_stats stats;
    pl_stats_read(e, &stats);
    assert_int_equal(stats.n_finished[PL_FINISH_LENGTH], N + N_KINDS);
    assert_int_equal(stats.ttft.n, N + N_KINDS);
    assert_int_equal(stats.end_to_end.n, N + N_KINDS);
    assert_int_equal(stats.queue.n, N + N_KINDS);
    assert_int_equal(stats.inter_token.n, stats.n_reply_tokens - (N + N_KINDS));
    assert_int_equal(stats.n_queued, 0);
    assert_int_equal(stats.n_queued_tokens, 0);
    assert_true(stats.n_cached_tokens > 0 && stats.n_pages_cached > 0);
    assert_int_equal(stats.n_pages_used, 0);
    assert_true(pl_is_healthy(e));
    pl_close(e);
}

/* ---- slow readers --------------------------------------------------------------------------- */

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

static uint32_t replied(pl_engine *e, uint64_t stream_tokens)
{
    pl_slot slot[2];
    pl_slots_read(e, slot, 2);
    for (int i = 0; i < 2; i++)
        if (slot[i].state != PL_SLOT_IDLE && slot[i].max_tokens == stream_tokens)
            return slot[i].n_reply;
    return 0;
}

/* How far the stream of 3,508 tokens that nobody reads got: it stands still while the other slot
 * makes a whole reply. 0: it does not. */
static uint32_t stands_still(pl_engine *e, const pl_request *other)
{
    static struct reply reply;
    for (int i = 0; i < 20; i++) {
        const uint32_t n = replied(e, 3508);
        run(e, other, &reply);
        assert_int_equal(reply.n, 3000);
        if (n && n == replied(e, 3508)) return n;
    }
    return 0;
}

static void test_slow_reader_stalls_alone(void **state)
{
    (void)state;
    static struct reply slow, fast;
    int32_t prompt[8];
    pl_engine *e = open_engine((pl_params){ .n_streams = 2, .ctx_tokens = 4096 });
    prompt_of(prompt, 8, 1);
    const pl_request r = request_of(prompt, 8, 3500, 1), r_other = request_of(prompt, 8, 3000, 1);
    run(e, &r, &fast);

    pl_stream *s = submit(e, &r);
    uint32_t n = stands_still(e, &r_other);
    assert_in_range(n, 500, 3000);
    finish(s, &slow);               /* and so does this one, once it is read */
    assert_same(&fast, &slow, "slow reader");

    s = submit(e, &r);              /* cancelled while stalled: its end still finds room */
    n = stands_still(e, &r_other);
    pl_stream_cancel(s);
    finish(s, &slow);
    assert_int_equal(slow.finish, PL_FINISH_CANCELLED);
    assert_int_equal(slow.n, n);
    pl_close(e);
}

struct waker {
    pl_stream *_Atomic stream;
    _Atomic uint32_t n_calls;
};

static void cancel_from_callback(void *arg)
{
    struct waker *w = arg;
    w->n_calls++;
    if (w->n_calls == 5 && w->stream) pl_stream_cancel(w->stream);
}

static void test_callback_may_cancel(void **state)
{
    (void)state;
    static struct reply r;
    int32_t prompt[8];
    pl_engine *e = open_engine((pl_params){ .n_streams = 1, .ctx_tokens = 4096 });
    prompt_of(prompt, 8, 1);
    for (int i = 0; i < 20; i++) {
        struct waker w = { NULL, 0 };
        pl_request request = request_of(prompt, 8, 1000, 0);
        request.on_event = cancel_from_callback;
        request.arg = &w;
        pl_stream *s = submit(e, &request);
        w.stream = s;
        while (w.n_calls < 6) sleep_ms(1);
        if (i % 2) {
            finish(s, &r);
            assert_in_range(r.n, 1, 1000);
        } else {
            pl_stream_close(s);
        }
        const uint32_t n_calls = w.n_calls;     /* none after the close: w goes out of scope */
        sleep_ms(2);
        assert_int_equal(n_calls, w.n_calls);
    }
    pl_close(e);
}

/* ---- plan ----------------------------------------------------------------------------------- */

/* What the vocabulary itself says that it takes. */
static uint64_t vocabulary_bytes(void)
{
    struct gguf g;
    struct tokenizer *t;
    pl_err err;
    assert_int_equal(gguf_open(&g, model_path, &err), PL_OK);
    assert_int_equal(tokenizer_open(&t, &g, &err), PL_OK);
    const uint64_t n = tokenizer_n_bytes(t);
    tokenizer_close(t);
    gguf_close(&g);
    return n;
}

static void test_plan_is_what_is_opened(void **state)
{
    (void)state;
    pl_plan plan;
    pl_params params = {
        .model_path = model_path, .n_streams = 3, .ctx_tokens = 500, .n_threads = 2
    };
    assert_int_equal(pl_plan_compute(&plan, &params, NULL), PL_OK);
    pl_engine *e = open_engine(params);
    assert_memory_equal(&plan, pl_engine_plan(e), sizeof plan);
    assert_int_equal(plan.total_bytes, plan.weights_bytes + plan.kv_bytes + plan.scratch_bytes +
                                           plan.stream_bytes + plan.vocab_bytes);
    assert_int_equal(plan.vocab_bytes, vocabulary_bytes());
    assert_int_equal(plan.n_pages, 3 * 32);
    assert_int_equal(plan.kv_bytes_per_token, TINY_LAYERS * 2 * TINY_KV_HEADS * TINY_D_HEAD * 2);
    assert_string_equal(plan.model_name, "tiny");
    assert_string_equal(plan.architecture, "llama");
    pl_close(e);
    params.n_streams = 4096;
    params.ctx_tokens = TINY_CTX;
    params.kv_tokens = 1ull << 34;
    pl_err err;
    assert_int_equal(pl_open(&e, &params, &err), PL_E_MEMORY);
    assert_non_null(strstr(err.text, "--parallel"));
}

static int write_model(void **state)
{
    (void)state;
    return !tiny_model_write(model_path, true);
}

static int remove_model(void **state)
{
    (void)state;
    return unlink(model_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stop_strings),
        cmocka_unit_test(test_events_hold_whole_characters),
        cmocka_unit_test(test_end_token_ends_a_reply),
        cmocka_unit_test(test_waiting_in_vain),
        cmocka_unit_test(test_text_functions),
        cmocka_unit_test(test_bad_requests),
        cmocka_unit_test(test_queue_is_bounded),
        cmocka_unit_test(test_many_requests_over_few_slots),
        cmocka_unit_test(test_slow_reader_stalls_alone),
        cmocka_unit_test(test_callback_may_cancel),
        cmocka_unit_test(test_plan_is_what_is_opened),
    };
    return cmocka_run_group_tests(tests, write_model, remove_model);
}
