/* Tokens that end a reply, and replies that may not end yet. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/ending.h"
#include "engine/thought.h"
#include "unit/engine/replies.h"
#include "unit/engine/tiny_model.h"

static struct subject s;

static int make(void **state)
{
    if (write_tiny_model(state)) return 1;
    make_subject(&s);
    return 0;
}

static uint32_t first_of(const struct reply *r, int32_t token)
{
    uint32_t i = 0;
    while (i < r->n && r->token[i] != token) i++;
    return i;
}

static bool is_among(int32_t token, const int32_t *tokens, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (tokens[i] == token) return true;
    return false;
}

/* Any token of the reply that is a stop token ends it where it first stands, and is not told. */
static void test_a_stop_token_ends_the_reply(void **state)
{
    (void)state;
    static struct reply r;
    pl_engine *e = open_engine((pl_params){ .n_streams = 2 });
    for (uint32_t at = 0; at < N_REPLY; at += 3) {
        const int32_t tokens[] = { 299, s.seeded_reply.token[at], 298 };
        pl_request request = s.seeded;
        request.stop_tokens = tokens;
        request.n_stop_tokens = 3;
        run(e, &request, &r);
        uint32_t n = N_REPLY;
        for (int i = 0; i < 3; i++) {
            const uint32_t first = first_of(&s.seeded_reply, tokens[i]);
            if (first < n) n = first;
        }
        assert_int_equal(r.finish, PL_FINISH_STOP);
        assert_int_equal(r.stop_index, -1);
        assert_int_equal(r.n, n);
        assert_int_equal(r.usage.n_reply, n);
        assert_memory_equal(r.token, s.seeded_reply.token, n * sizeof *r.token);
    }
    pl_close(e);
}

/* Before min_tokens neither a stop token nor an end token comes, and other tokens come as if those
 * were forbidden by a bias; afterwards they end the reply. */
static void test_no_end_before_min_tokens(void **state)
{
    (void)state;
    static struct reply r, want;
    const int32_t stop[] = { s.seeded_reply.token[2], s.seeded_reply.token[7] };
    const pl_logit_bias never[] = { { stop[0], -INFINITY }, { stop[1], -INFINITY },
                                    { TINY_END, -INFINITY } };
    const pl_logit_bias wanted[] = { { TINY_END, 50 } };
    pl_engine *e = open_engine((pl_params){ .n_streams = 2 });
    for (uint32_t min = 0; min <= N_REPLY; min += 12) {
        pl_request request = s.seeded;
        request.max_tokens = min ? min : 1;
        request.sampling.bias = never;
        request.sampling.n_bias = 3;
        run(e, &request, &want);

        request = s.seeded;
        request.stop_tokens = stop;
        request.n_stop_tokens = 2;
        request.min_tokens = min;
        run(e, &request, &r);
        assert_true(r.n >= min);
        assert_memory_equal(r.token, want.token, min * sizeof *r.token);
        assert_int_equal(r.finish, r.n == N_REPLY ? PL_FINISH_LENGTH : PL_FINISH_STOP);
        for (uint32_t i = 0; i < r.n; i++) assert_false(is_among(r.token[i], stop, 2));

        request.ignore_eos = false;         /* an end that is wanted very much: at once, then */
        request.sampling.bias = wanted;
        request.sampling.n_bias = 1;
        run(e, &request, &r);
        assert_int_equal(r.n, min);
        assert_int_equal(r.finish, min == N_REPLY ? PL_FINISH_LENGTH : PL_FINISH_STOP);
        request.ignore_eos = true;          /* neither then, where it ends nothing */
        run(e, &request, &r);
        assert_true(first_of(&r, TINY_END) >= min);
    }
    pl_close(e);
}

/* Text that a character was begun with is told, as it is at an end token. */
static void test_what_was_held_back_is_told(void **state)
{
    (void)state;
    static struct reply r;
    const int32_t prompt[] = { 'a' }, stop[] = { 'x' };
    const pl_logit_bias bias[] = { { 0xc3, 60 } };
    pl_engine *e = open_engine((pl_params){ 0 });
    pl_request request = request_of(prompt, 1, 3, 0);
    request.sampling.bias = bias;
    request.sampling.n_bias = 1;
    request.stop_tokens = stop;
    request.n_stop_tokens = 1;
    run(e, &request, &r);
    assert_int_equal(r.n, 3);
    assert_int_equal(r.n_text, 9);          /* three bytes that begin characters */
    pl_close(e);
}

/* So many tokens are what they would have been; then the mark comes, once; and a reply that does
 * not begin with the mark of thoughts, or that has ended them itself, is left alone. */
static void test_thoughts_have_a_measure(void **state)
{
    (void)state;
    static struct reply r;
    const int32_t end[] = { 'o', 'k' }, *own = s.seeded_reply.token;
    pl_engine *e = open_engine((pl_params){ .n_streams = 2 });
    for (uint32_t max = 0; max < 20; max += 4) {
        pl_request request = s.seeded;
        request.thoughts = (pl_thoughts){ .end = end, .n_end = 2, .max_tokens = max };
        run(e, &request, &r);
        assert_memory_equal(r.token, own, max * sizeof *own);
        assert_memory_equal(r.token + max, end, sizeof end);
        assert_int_equal(r.n, N_REPLY);

        request.thoughts.begin = own;       /* it begins with this: 3 more are allowed */
        request.thoughts.n_begin = 3;
        run(e, &request, &r);
        assert_memory_equal(r.token, own, (max + 3) * sizeof *own);
        assert_memory_equal(r.token + max + 3, end, sizeof end);

        request.thoughts.begin = own + 1;   /* it does not */
        if (!memcmp(own, own + 1, 3 * sizeof *own)) continue;
        run(e, &request, &r);
        assert_memory_equal(r.token, own, N_REPLY * sizeof *own);
    }
    pl_request request = s.seeded;          /* it has come by itself */
    request.thoughts = (pl_thoughts){ .end = own + 2, .n_end = 2, .max_tokens = 10 };
    run(e, &request, &r);
    assert_memory_equal(r.token, own, N_REPLY * sizeof *own);
    pl_close(e);
}

/* The middle of the mark is gone on with, not begun again. */
static void test_what_must_come_next(void **state)
{
    (void)state;
    const struct thought t = { .begin = { 1 }, .n_begin = 1, .end = { 7, 8, 9 }, .n_end = 3,
                               .max_tokens = 2 };
    const int32_t reply[] = { 1, 5, 7, 8, 9, 4 }, other[] = { 2, 5, 6, 6 };
    const int32_t cut[] = { 1, 5, 6, 7, 6 };
    const int32_t want[] = { -1, -1, -1, 8, 9, -1, -1 };
    for (uint32_t n = 0; n <= 6; n++) assert_int_equal(thought_next(&t, reply, n), want[n]);
    for (uint32_t n = 0; n <= 4; n++) assert_int_equal(thought_next(&t, other, n), -1);
    assert_int_equal(thought_next(&t, cut, 3), 7);
    assert_int_equal(thought_next(&t, cut, 4), 8);
    assert_int_equal(thought_next(&t, cut, 5), 7);
}

static void refuse(pl_engine *e, const pl_request *r, const char *piece)
{
    pl_stream *stream;
    pl_err err = { 0 };
    assert_int_equal(pl_submit(e, r, &stream, &err), PL_E_PARAM);
    if (!strstr(err.text, piece)) fail_msg("%s", err.text);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    static int32_t many[ENDING_MAX_TOKENS + 1];
    const int32_t outside[] = { 5, 1 << 20 }, below[] = { -1 };
    pl_engine *e = open_engine((pl_params){ 0 });
    pl_request r = s.greedy;
    r.stop_tokens = outside;
    r.n_stop_tokens = 2;
    refuse(e, &r, "stop token 1 is 1048576; 0 to");
    r.stop_tokens = below;
    r.n_stop_tokens = 1;
    refuse(e, &r, "stop token 0 is -1");
    r.stop_tokens = many;
    r.n_stop_tokens = ENDING_MAX_TOKENS + 1;
    refuse(e, &r, "65 stop tokens; at most 64");
    r.n_stop_tokens = 0;
    r.min_tokens = N_REPLY + 1;
    refuse(e, &r, "min_tokens is 61; at most max_tokens, 60");
    r = s.greedy;
    r.thoughts = (pl_thoughts){ .end = many, .n_end = 9 };
    refuse(e, &r, "thoughts.end has 9 tokens; at most 8");
    r.thoughts = (pl_thoughts){ .begin = below, .n_begin = 1, .end = many, .n_end = 1 };
    refuse(e, &r, "thoughts.begin holds token -1; 0 to");
    pl_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stop_token_ends_the_reply),
        cmocka_unit_test(test_no_end_before_min_tokens),
        cmocka_unit_test(test_what_was_held_back_is_told),
        cmocka_unit_test(test_thoughts_have_a_measure),
        cmocka_unit_test(test_what_must_come_next),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, make, remove_tiny_model);
}
