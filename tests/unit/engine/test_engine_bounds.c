/* Numbers of a file's header at and beyond what the engine has room for: they run, or one line
 * refuses them. And the output head's rows beyond the vocabulary: nobody ever sees one. */
#include "unit/engine/replies.h"

#include <math.h>

/* ---- refusals ------------------------------------------------------------------------------- */

static void check_refused(const char *key, uint32_t value)
{
    pl_params params = { .model_path = model_path, .n_streams = 1, .ctx_tokens = 64 };
    pl_engine *e = NULL;
    pl_plan plan;
    pl_err err = { 0 };
    assert_true(tiny_model_write(model_path, false));
    assert_true(tiny_model_patch(model_path, key, value));
    const pl_status st = pl_plan_compute(&plan, &params, &err);
    if (st == PL_OK) fail_msg("%s = %u is planned", key, value);
    assert_true(st == PL_E_UNSUPPORTED || st == PL_E_FORMAT);
    assert_true(strlen(err.text) > 0);
    assert_int_equal(pl_open(&e, &params, &err), st);
    assert_null(e);
    unlink(model_path);
}

/* The first of each is what the file says (which must run), then what no buffer has room for. */
static void header_numbers_are_bounded(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        uint32_t wrong[4];
    } cases[] = {
        { "llama.block_count", { 0, 1025, 1u << 31, UINT32_MAX } },
        { "llama.context_length", { 0, (1u << 24) + 1, 1u << 31, UINT32_MAX } },
        { "llama.embedding_length", { 0, 33, (1u << 17) + 32, UINT32_MAX } },
        { "llama.feed_forward_length", { 0, 33, (1u << 20) + 32, UINT32_MAX } },
        { "llama.attention.head_count", { 0, 1025, 1u << 31, UINT32_MAX } },
        { "llama.attention.head_count_kv", { 0, 3, 1u << 31, UINT32_MAX } },
        { "llama.attention.key_length", { 0, 16, 608, UINT32_MAX } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int k = 0; k < 4; k++) check_refused(cases[i].key, cases[i].wrong[k]);
}

/* As many as 32 bits count, and as 64 bits count bytes of. */
static void pages_are_counted_without_overflow(void **state)
{
    (void)state;
    assert_true(tiny_model_write(model_path, false));
    assert_true(tiny_model_patch(model_path, "llama.context_length", 1 << 24));
    pl_params params = { .model_path = model_path, .n_streams = 4096 };
    pl_plan plan;
    pl_err err = { 0 };
    assert_int_equal(pl_plan_compute(&plan, &params, &err), PL_E_MEMORY);
    assert_non_null(strstr(err.text, "4294967296 KV pages"));
    params.n_streams = 2000;
    assert_int_equal(pl_plan_compute(&plan, &params, &err), PL_OK);
    assert_int_equal(plan.n_pages, 2000u << 20);
    assert_true(plan.kv_bytes == ((uint64_t)2000 << 20) * TINY_LAYERS * 2 * TINY_D_HEAD * 2 * 16);
    unlink(model_path);
}

/* ---- more query heads than a job of attention has rows -------------------------------------- */

static void many_heads_over_one_run(void **state)
{
    (void)state;
    static const uint32_t n_heads[] = { 256, 257, 600, 1024 };
    static struct reply want, got;
    int32_t tokens[20];
    prompt_of(tokens, 20, 3);
    const pl_request r = request_of(tokens, 20, 20, 1);
    for (size_t i = 0; i < sizeof n_heads / sizeof *n_heads; i++) {
        assert_true(tiny_model_write_as(model_path, false, n_heads[i], TINY_VOCAB));
        for (uint32_t n_threads = 1; n_threads <= 3; n_threads++) {
            pl_engine *e = open_engine((pl_params){ .n_streams = 1, .n_threads = n_threads });
            run(e, &r, n_threads == 1 ? &want : &got);
            if (n_threads > 1) assert_same(&got, &want, "many heads");
            pl_close(e);
        }
        assert_int_equal(want.n, 20);
        unlink(model_path);
    }
}

/* ---- rows of the head without a token ------------------------------------------------------- */

/* Temperatures at which each row of the head is as likely as any other. */
static void check_padded_reply(pl_engine *e, uint32_t top_k)
{
    int32_t tokens[5];
    pl_event event;
    bool has_ended = false;
    prompt_of(tokens, 5, 4);
    pl_request r = request_of(tokens, 5, 300, 1000);
    r.n_top_logprobs = 20;
    r.sampling.top_k = top_k;
    pl_stream *s = submit(e, &r);
    while (!has_ended) {
        while (pl_stream_next(s, &event)) {
            has_ended = event.kind == PL_EVENT_END;
            if (event.kind != PL_EVENT_TOKEN) continue;
            assert_in_range(event.token, 0, TINY_VOCAB - 1);
            assert_int_equal(event.n_top, 20);
            for (uint32_t i = 0; i < event.n_top; i++)
                assert_in_range(event.top[i].token, 0, TINY_VOCAB - 1);
        }
        if (!has_ended && !pl_stream_wait(s, 60000)) fail_msg("no event in 60 s");
    }
    assert_int_equal(event.finish, PL_FINISH_LENGTH);
    pl_stream_close(s);
}

static void refuse_token_without_text(pl_engine *e)
{
    const int32_t padded[] = { 5, TINY_VOCAB };
    const pl_logit_bias bias = { TINY_VOCAB, 1 };
    pl_request r = request_of(padded, 2, 1, 1);
    pl_stream *s = NULL;
    pl_score_result score;
    pl_err err = { 0 };
    assert_int_equal(pl_submit(e, &r, &s, &err), PL_E_PARAM);
    assert_int_equal(pl_score(e, padded, 2, 3, &score, &err), PL_E_PARAM);
    r.n_tokens = 1;
    r.sampling.bias = &bias;
    r.sampling.n_bias = 1;
    assert_int_equal(pl_submit(e, &r, &s, &err), PL_E_PARAM);
}

/* The probabilities are those of a head without the rows: logits do not depend on each other. */
static void check_same_score(pl_engine *padded, pl_engine *whole)
{
    int32_t tokens[30];
    pl_score_result a, b;
    pl_err err = { 0 };
    prompt_of(tokens, 30, 6);
    assert_int_equal(pl_score(padded, tokens, 30, 20, &a, &err), PL_OK);
    assert_int_equal(pl_score(whole, tokens, 30, 20, &b, &err), PL_OK);
    assert_memory_equal(a.nll, b.nll, 29 * sizeof *a.nll);
    assert_memory_equal(a.top, b.top, 30 * 20 * sizeof *a.top);
    pl_score_free(&a);
    pl_score_free(&b);
}

static void rows_of_the_head_without_a_token_are_never_picked(void **state)
{
    (void)state;
    /* within the last block of logits, at its end, in blocks of their own */
    static const uint32_t n_beyond[] = { 40, 192, 193, 2000 };
    assert_true(tiny_model_write_as(model_path, false, TINY_HEADS, TINY_VOCAB));
    char whole_path[64];
    strcpy(whole_path, model_path);
    pl_engine *whole = open_engine((pl_params){ .n_streams = 2, .n_threads = 2 });
    for (size_t i = 0; i < sizeof n_beyond / sizeof *n_beyond; i++) {
        assert_true(tiny_model_write_as(model_path, false, TINY_HEADS, TINY_VOCAB + n_beyond[i]));
        pl_engine *e = open_engine((pl_params){ .n_streams = 2, .n_threads = 2 });
        assert_int_equal(pl_engine_plan(e)->n_vocab, TINY_VOCAB);
        assert_int_equal(pl_engine_plan(e)->n_head_rows, TINY_VOCAB + n_beyond[i]);
        check_padded_reply(e, 0);
        check_padded_reply(e, TINY_VOCAB);
        check_padded_reply(e, 100);
        refuse_token_without_text(e);
        check_same_score(e, whole);
        pl_close(e);
        unlink(model_path);
    }
    pl_close(whole);
    unlink(whole_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_numbers_are_bounded),
        cmocka_unit_test(pages_are_counted_without_overflow),
        cmocka_unit_test(many_heads_over_one_run),
        cmocka_unit_test(rows_of_the_head_without_a_token_are_never_picked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
