/* Places in the queue, and what is counted of prompts. The engine thread is stopped where a test
 * wants it, in the callback of a stream's first event, so that nothing depends on the clock. */
#include <pthread.h>

#include "unit/engine/replies.h"

/* on_event of a stream that stops the engine thread at its first call until it is let go. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_reached, is_open;
};

static void stop_here(void *arg)
{
    struct gate *g = arg;
    pthread_mutex_lock(&g->lock);
    g->is_reached = true;
    pthread_cond_broadcast(&g->changed);
    while (!g->is_open) pthread_cond_wait(&g->changed, &g->lock);
    pthread_mutex_unlock(&g->lock);
}

static void open_gate(struct gate *g)
{
    pthread_mutex_lock(&g->lock);
    g->is_open = true;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
}

static void await_gate(struct gate *g)
{
    pthread_mutex_lock(&g->lock);
    while (!g->is_reached) pthread_cond_wait(&g->changed, &g->lock);
    pthread_mutex_unlock(&g->lock);
}

static struct gate new_gate(void)
{
    struct gate g = { .is_reached = false };
    pthread_mutex_init(&g.lock, NULL);
    pthread_cond_init(&g.changed, NULL);
    return g;
}

static void assert_busy(pl_engine *e, const pl_request *r, const char *text)
{
    pl_err err = { 0 };
    pl_stream *s = NULL;
    assert_int_equal(pl_submit(e, r, &s, &err), PL_E_BUSY);
    assert_non_null(strstr(err.text, text));
}

static uint32_t n_queued(pl_engine *e)
{
    pl_stats stats;
    pl_stats_read(e, &stats);
    return stats.n_queued;
}

/* One runs and the engine does not move. Whoever gives up in the queue makes room for another. */
static void test_a_place_is_given_back_at_once(void **state)
{
    (void)state;
    static struct reply r;
    int32_t prompt[20];
    struct gate gate = new_gate();
    pl_stats stats;
    pl_engine *e = open_engine((pl_params){ .n_streams = 1, .queue_requests = 1 });
    prompt_of(prompt, 20, 1);
    const pl_request request = request_of(prompt, 20, 2, 0);
    pl_request first = request;
    first.on_event = stop_here;
    first.arg = &gate;
    pl_stream *running = submit(e, &first), *waiting;
    await_gate(&gate);

    for (int i = 0; i < 40; i++) {
        waiting = submit(e, &request);
        assert_int_equal(n_queued(e), 1);
        assert_busy(e, &request, "1 requests wait for a slot; at most 1 may");
        assert_int_equal(pl_queue_check(e, NULL), PL_E_BUSY);
        if (i % 2) pl_stream_cancel(waiting);
        if (i % 4) pl_stream_cancel(waiting);   /* twice: one place */
        if (i % 2) assert_int_equal(n_queued(e), 0);
        pl_stream_close(waiting);
        assert_int_equal(n_queued(e), 0);
        assert_int_equal(pl_queue_check(e, NULL), PL_OK);
    }
    waiting = submit(e, &request);
    open_gate(&gate);
    finish(running, &r);
    assert_int_equal(r.n, 2);
    finish(waiting, &r);
    assert_int_equal(r.n, 2);
    assert_int_equal(r.usage.n_cached, 16);
    pl_stats_read(e, &stats);
    assert_int_equal(stats.n_finished[PL_FINISH_CANCELLED], 40);
    assert_int_equal(stats.n_rejected_busy, 80);
    assert_int_equal(stats.n_prompt_tokens, 40);    /* of the two that ran */
    assert_int_equal(stats.n_cached_tokens, 16);
    assert_int_equal(stats.n_prefill_step_tokens, 24);
    pl_close(e);
}

/* One leaves its slot and the next enters it in the same round: one slot is taken, not two. */
static void test_a_slot_that_changes_hands_is_one_slot(void **state)
{
    (void)state;
    static struct reply r;
    int32_t prompt[20];
    struct gate first_gate = new_gate(), second_gate = new_gate();
    pl_engine *e = open_engine((pl_params){ .n_streams = 1, .queue_requests = 1 });
    prompt_of(prompt, 20, 1);
    const pl_request request = request_of(prompt, 20, 2, 0);
    pl_request first = request, second = request;
    first.on_event = second.on_event = stop_here;
    first.arg = &first_gate;
    second.arg = &second_gate;
    first.max_tokens = 400;
    pl_stream *a = submit(e, &first);
    await_gate(&first_gate);
    pl_stream *b = submit(e, &second);
    pl_stream_cancel(a);            /* ends in the round that lets the second in */
    open_gate(&first_gate);
    await_gate(&second_gate);

    pl_stream *c = submit(e, &request);
    assert_busy(e, &request, "1 requests wait for a slot; at most 1 may");
    open_gate(&second_gate);
    pl_stream_close(a);
    finish(b, &r);
    finish(c, &r);
    assert_int_equal(r.n, 2);
    pl_close(e);
}

/* Eight with one beginning are submitted before the engine looks at any: each says what it found,
 * and replies as it does alone. */
static void test_equal_prompts_that_come_together(void **state)
{
    (void)state;
    enum { N = 8, N_COMMON = 300 };
    static struct reply r, alone[N];
    static int32_t prompt[N][N_COMMON + N];
    struct gate gate = new_gate();
    pl_stream *s[N];
    pl_stats stats;
    pl_engine *e = open_engine((pl_params){ .n_streams = N + 1, .step_tokens = 64 });
    for (int i = 0; i < N; i++) {
        prompt_of(prompt[i], N_COMMON + N, 5);
        prompt_of(prompt[i] + N_COMMON, (uint32_t)i + 1, 100 + (uint64_t)i);
    }
    pl_engine *lone = open_engine((pl_params){ .n_streams = 1, .no_prefix_cache = true });
    for (uint32_t i = 0; i < N; i++) {
        const pl_request request = request_of(prompt[i], N_COMMON + i + 1, 10, 0);
        run(lone, &request, &alone[i]);
    }
    pl_close(lone);

    pl_request first = request_of(prompt[0] + 200, 5, 2, 0);
    first.on_event = stop_here;
    first.arg = &gate;
    pl_stream *holder = submit(e, &first);
    await_gate(&gate);
    for (uint32_t i = 0; i < N; i++) {
        const pl_request request = request_of(prompt[i], N_COMMON + i + 1, 10, 0);
        s[i] = submit(e, &request);
    }
    open_gate(&gate);
    finish(holder, &r);
    uint32_t n_prompt = 0, n_cached = 0;
    for (uint32_t i = 0; i < N; i++) {
        finish(s[i], &r);
        assert_same(&r, &alone[i], "in company");
        assert_int_equal(r.usage.n_prompt, N_COMMON + i + 1);
        n_prompt += r.usage.n_prompt;
        n_cached += r.usage.n_cached;
    }
    pl_stats_read(e, &stats);
    assert_in_range(n_prompt - n_cached, N_COMMON + N, N_COMMON + N * 32);
    assert_int_equal(stats.n_prompt_tokens, n_prompt + 5);
    assert_int_equal(stats.n_cached_tokens, n_cached);
    assert_int_equal(stats.n_prefill_step_tokens, n_prompt - n_cached + 5);
    /* at least those of the longest reply, at most one for every column */
    const uint64_t n_cols = stats.n_prefill_step_tokens + stats.n_decode_step_tokens;
    assert_in_range(stats.n_steps, 10, n_cols);
    pl_close(e);
}

/* ---- fair between those who ask -------------------------------------------------------------- */

enum { N_MANY = 200 };

/* In which order streams entered the slot: told by their first event, on the engine's thread. */
struct entry {
    struct roll *roll;
    uint32_t at;                /* from 1; 0: not yet */
};

struct roll {
    uint32_t n;
    struct entry entry[N_MANY + 2];
};

static void sign(void *arg)
{
    struct entry *entry = arg;
    if (!entry->at) entry->at = ++entry->roll->n;
}

/* With one slot taken, and the engine at a halt: two hundred of one key, then one of another. */
static void enroll(struct roll *roll, const pl_request *last, uint32_t n_streams)
{
    static pl_stream *stream[N_MANY + 1];
    static struct reply r;
    int32_t prompt[20];
    struct gate gate = new_gate();
    pl_engine *e = open_engine((pl_params){ .n_streams = n_streams });
    prompt_of(prompt, 20, 1);
    pl_request request = request_of(prompt, 20, 8, 0);
    request.who = 1;
    request.on_event = stop_here;
    request.arg = &gate;
    pl_stream *first = submit(e, &request);
    await_gate(&gate);
    *roll = (struct roll){ 0 };
    request.on_event = sign;
    for (uint32_t i = 0; i <= N_MANY; i++) {
        roll->entry[i].roll = roll;
        if (i == N_MANY) {
            request.who = last->who;
            request.priority = last->priority;
        }
        request.arg = &roll->entry[i];
        stream[i] = submit(e, &request);
    }
    open_gate(&gate);
    finish(first, &r);
    for (uint32_t i = 0; i <= N_MANY; i++) finish(stream[i], &r);
    pl_close(e);
}

static void test_one_request_does_not_wait_for_two_hundred(void **state)
{
    (void)state;
    static struct roll roll;
    for (uint32_t n_streams = 1; n_streams <= 3; n_streams++) {
        enroll(&roll, &(pl_request){ .who = 2 }, n_streams);
        assert_in_range(roll.entry[N_MANY].at, 1, 2 * n_streams);
        for (uint32_t i = 1; i < N_MANY; i++)   /* of one key: first come, first served */
            assert_true(roll.entry[i].at > roll.entry[i - 1].at);
    }
    enroll(&roll, &(pl_request){ .who = 1 }, 1);
    assert_int_equal(roll.entry[N_MANY].at, N_MANY + 1);
}

static void test_a_priority_goes_first(void **state)
{
    (void)state;
    static struct roll roll;
    pl_err err;
    pl_stream *s;
    enroll(&roll, &(pl_request){ .who = 1, .priority = 1 }, 1);
    assert_int_equal(roll.entry[N_MANY].at, 1);
    enroll(&roll, &(pl_request){ .who = 2, .priority = -1 }, 1);
    assert_int_equal(roll.entry[N_MANY].at, N_MANY + 1);
    pl_engine *e = open_engine((pl_params){ .n_streams = 1 });
    static const int32_t token;
    pl_request r = request_of(&token, 1, 1, 0);
    r.priority = PL_MAX_PRIORITY + 1;
    assert_int_equal(pl_submit(e, &r, &s, &err), PL_E_PARAM);
    assert_non_null(strstr(err.text, "priority is 101; -100 to 100 are wanted"));
    pl_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_place_is_given_back_at_once),
        cmocka_unit_test(test_a_slot_that_changes_hands_is_one_slot),
        cmocka_unit_test(test_equal_prompts_that_come_together),
        cmocka_unit_test(test_one_request_does_not_wait_for_two_hundred),
        cmocka_unit_test(test_a_priority_goes_first),
    };
    return cmocka_run_group_tests(tests, write_tiny_model, remove_tiny_model);
}
