/* Clients on several threads that submit, read, cancel and close at random moments: every stream
 * ends once, nothing is left behind, and who reads to the end gets the reply of a lone client. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "unit/engine/replies.h"

enum { N_CLIENTS = 6, N_ROUNDS = 80, N_PROMPTS = 8 };

struct shared {
    pl_engine *engine;
    int32_t prompt[N_PROMPTS][60];
    pl_request request[N_PROMPTS];
    struct reply alone[N_PROMPTS];
    _Atomic uint32_t n_kept, n_busy, n_wrong;
};

struct client {
    struct shared *shared;
    uint32_t number;
    struct reply reply;
};

static void count_call(void *arg)
{
    _Atomic uint32_t *n_calls = arg;
    atomic_fetch_add(n_calls, 1);
}

/* Reads at most n events; true: the last one was among them. */
static bool read_some(pl_stream *s, uint32_t n)
{
    pl_event event;
    while (n--) {
        pl_stream_wait(s, 50);
        if (pl_stream_next(s, &event) && event.kind == PL_EVENT_END) return true;
    }
    return false;
}

static void one_round(struct client *c, struct rng *rng)
{
    struct shared *sh = c->shared;
    const uint64_t which = rng_below(rng, N_PROMPTS);
    pl_request request = sh->request[which];
    _Atomic uint32_t *n_calls = malloc(sizeof *n_calls);   /* freed at once: a late call is seen */
    atomic_init(n_calls, 0);
    request.on_event = count_call;
    request.arg = n_calls;

    pl_stream *s = NULL, *fork = NULL;
    const pl_status st = pl_submit(sh->engine, &request, &s, NULL);
    if (st == PL_E_BUSY) atomic_fetch_add(&sh->n_busy, 1);
    if (!st) {
        atomic_fetch_add(&sh->n_kept, 1);
        if (rng_below(rng, 4) == 0) {
            request.fork_of = s;
            request.on_event = NULL;
            if (!pl_submit(sh->engine, &request, &fork, NULL)) atomic_fetch_add(&sh->n_kept, 1);
        }
        const uint64_t what = rng_below(rng, 4);
        if (what == 1) read_some(s, (uint32_t)rng_below(rng, 12));
        if (what == 2) {
            pl_stream_cancel(s);
            while (!read_some(s, 1)) continue;
        }
        if (what == 3) {
            finish(s, &c->reply);
            const struct reply *want = &sh->alone[which];
            if (c->reply.n != want->n || memcmp(c->reply.token, want->token, want->n * 4) ||
                c->reply.n_text != want->n_text || atomic_load(n_calls) == 0)
                atomic_fetch_add(&sh->n_wrong, 1);
        } else {
            pl_stream_close(s);
        }
        pl_stream_close(fork);
    }
    free((void *)n_calls);
}

static void *client(void *arg)
{
    struct client *c = arg;
    struct rng rng;
    rng_seed(&rng, c->number);
    for (int i = 0; i < N_ROUNDS; i++) one_round(c, &rng);
    return NULL;
}

static uint64_t n_ended(const pl_stats *s)
{
    uint64_t n = 0;
    for (int i = 0; i <= PL_FINISH_ERROR; i++) n += s->n_finished[i];
    return n;
}

static void test_random_clients(void **state)
{
    (void)state;
    static struct shared sh;
    static struct client clients[N_CLIENTS];
    pthread_t thread[N_CLIENTS];
    sh.engine = open_engine((pl_params){ .n_streams = 3, .queue_requests = 3, .kv_tokens = 400,
                                         .n_threads = 2, .prefill_tokens = 16 });
    for (int i = 0; i < N_PROMPTS; i++) {
        prompt_of(sh.prompt[i], 60, 10 + (uint64_t)i / 2);  /* pairs share their beginning */
        sh.request[i] = request_of(sh.prompt[i], 30 + 3 * (uint32_t)i, 20 + 8 * (uint32_t)i, i % 2);
        run(sh.engine, &sh.request[i], &sh.alone[i]);
    }
    for (uint32_t i = 0; i < N_CLIENTS; i++) {
        clients[i] = (struct client){ .shared = &sh, .number = i };
        assert_int_equal(pthread_create(&thread[i], NULL, client, &clients[i]), 0);
    }
    for (uint32_t i = 0; i < N_CLIENTS; i++) pthread_join(thread[i], NULL);

    pl_stats stats;
    const uint64_t n_kept = sh.n_kept + N_PROMPTS;
    for (int i = 0; i < 6000; i++) {
        pl_stats_read(sh.engine, &stats);
        if (n_ended(&stats) == n_kept && stats.n_pages_used == 0) break;
        nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
    }
    assert_int_equal(stats.n_requests, n_kept);
    assert_int_equal(n_ended(&stats), n_kept);
    assert_int_equal(stats.n_pages_used, 0);
    assert_int_equal(stats.n_running, 0);
    assert_int_equal(stats.n_queued, 0);
    assert_int_equal(stats.n_queued_tokens, 0);
    assert_int_equal(sh.n_wrong, 0);
    assert_true(sh.n_kept > N_CLIENTS * N_ROUNDS / 10);
    pl_close(sh.engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_random_clients) };
    return cmocka_run_group_tests(tests, write_tiny_model, remove_tiny_model);
}
