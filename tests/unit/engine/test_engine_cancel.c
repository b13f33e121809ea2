/* Ends of streams at moments that threads rarely meet by themselves: the engine thread is held in a
 * callback until the other side has done its part. */
#include "engine/engine.h"
#include "unit/engine/replies.h"

#include <stdatomic.h>
#include <time.h>

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

/* Holds the engine thread in its next call once it is armed, until it is let go. */
struct gate {
    _Atomic bool is_armed, is_held, may_go;
    _Atomic uint32_t n_calls;
};

static void pass(void *arg)
{
    struct gate *g = arg;
    g->n_calls++;
    if (!g->is_armed) return;
    g->is_armed = false;
    g->is_held = true;
    while (!g->may_go) sleep_ms(1);
    g->is_held = false;
}

static void wait_for(_Atomic uint32_t *count, uint32_t at_least)
{
    for (int ms = 0; *count < at_least; ms++) {
        if (ms == 60000) fail_msg("no call in 60 s");
        sleep_ms(1);
    }
}

static void hold(struct gate *g)
{
    g->is_armed = true;
    for (int ms = 0; !g->is_held; ms++) {
        if (ms == 60000) fail_msg("the engine did not come by in 60 s");
        sleep_ms(1);
    }
}

static pl_request long_request(const int32_t *tokens, struct gate *g)
{
    pl_request r = request_of(tokens, 5, 3000, 0);
    r.logprobs = false;
    r.on_event = pass;
    r.arg = g;
    return r;
}

/* A reader so slow that its stream stalls would leave the engine nothing to be held at. */
static void drain(pl_stream *s)
{
    pl_event e;
    while (pl_stream_next(s, &e)) {}
}

/* The round in which the wish to end was noticed did not have the stream yet: it ends when it is
 * taken. */
static void a_wish_from_before_the_stream_was_taken(void **state)
{
    (void)state;
    static struct reply r;
    struct gate a = { 0 }, b = { 0 };
    int32_t tokens[5];
    pl_engine *e = open_engine((pl_params){ .n_streams = 2, .ctx_tokens = 4096 });
    prompt_of(tokens, 5, 1);
    const pl_request first = long_request(tokens, &a);
    pl_request second = long_request(tokens, &b);
    second.max_tokens = 40;     /* which it comes to if nobody looks */
    pl_stream *runs = submit(e, &first);
    hold(&a);
    pl_stream *s = submit(e, &second);
    /* what pl_stream_cancel does, and a round of the engine that looked and found nobody */
    atomic_fetch_or(&s->flags, STREAM_CANCELLED);
    assert_false(e->has_cancels);
    a.may_go = true;
    finish(s, &r);
    assert_int_equal(r.finish, PL_FINISH_CANCELLED);
    assert_int_equal(r.n, 0);
    pl_stream_close(runs);
    pl_close(e);
}

/* The step has a token for a stream that was closed meanwhile: its callback's argument may be
 * gone. */
static void nobody_is_called_after_the_close(void **state)
{
    (void)state;
    struct gate a = { 0 }, b = { 0 };
    int32_t tokens[5];
    pl_engine *e = open_engine((pl_params){ .n_streams = 2, .ctx_tokens = 4096 });
    prompt_of(tokens, 5, 2);
    const pl_request first = long_request(tokens, &a), second = long_request(tokens, &b);
    pl_stream *in_slot_0 = submit(e, &first);
    wait_for(&a.n_calls, 2);
    pl_stream *in_slot_1 = submit(e, &second);
    wait_for(&b.n_calls, 4);
    hold(&a);       /* before the same step's token of the other is told */
    const uint32_t n_calls = b.n_calls;
    assert_true(in_slot_1->has_events);
    pl_stream_close(in_slot_1);
    a.may_go = true;
    const uint32_t n_before = a.n_calls;
    drain(in_slot_0);
    wait_for(&a.n_calls, n_before + 3);
    assert_int_equal(b.n_calls, n_calls);
    pl_stream_close(in_slot_0);
    pl_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wish_from_before_the_stream_was_taken),
        cmocka_unit_test(nobody_is_called_after_the_close),
    };
    return cmocka_run_group_tests(tests, write_tiny_model, remove_tiny_model);
}
