/* A vector does not depend on who else is served, on how its text is cut into steps or on the
 * prefix cache: bit for bit. Each pooling is what a hand makes of the rows of all positions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/engine/replies.h"

enum { N_TEXTS = 24, MAX_TEXT = 230, D = TINY_D_MODEL, MAX_ROWS = N_TEXTS * MAX_TEXT };

static const pl_pooling kinds[] = { PL_POOLING_NONE, PL_POOLING_MEAN, PL_POOLING_CLS,
                                    PL_POOLING_LAST };
enum { N_KINDS = sizeof kinds / sizeof *kinds };

static uint32_t variant_step = 1, n_many = 1000;    /* the exact backend takes its time */

static int32_t token[N_TEXTS][MAX_TEXT];
static pl_embed_text text[N_TEXTS];
static pl_embed_result alone[N_KINDS];

/* Of 1 to 230 tokens; every third begins as the one before it. */
static void make_texts(void)
{
    for (uint32_t i = 0; i < N_TEXTS; i++) {
        const uint32_t n = i == 0 ? 1 : 3 + (i * 37) % (MAX_TEXT - 2);
        prompt_of(token[i], MAX_TEXT, 500 + i);
        if (i % 3 == 2) memcpy(token[i], token[i - 1], 60 * sizeof *token[i]);
        text[i] = (pl_embed_text){ token[i], n };
    }
}

static pl_embed_result embed(pl_engine *e, uint32_t first, uint32_t n, pl_pooling pooling)
{
    pl_embed_result r;
    pl_err err = { 0 };
    if (pl_embed(e, text + first, n, pooling, &r, &err)) fail_msg("%s", err.text);
    return r;
}

/* One by one, in a step each. */
static int make_alone(void **state)
{
    (void)state;
    make_texts();
    pl_engine *e = open_engine((pl_params){ .n_threads = 1, .no_prefix_cache = true });
    for (uint32_t k = 0; k < N_KINDS; k++) {
        pl_embed_result *all = &alone[k];
        *all = (pl_embed_result){ calloc((size_t)MAX_ROWS * D, sizeof(float)), 0, D };
        for (uint32_t i = 0; i < N_TEXTS; i++) {
            pl_embed_result r = embed(e, i, 1, kinds[k]);
            memcpy(all->vector + all->n_rows * D, r.vector, r.n_rows * D * sizeof(float));
            all->n_rows += r.n_rows;
            pl_embed_free(&r);
        }
    }
    pl_close(e);
    return 0;
}

static int free_alone(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < N_KINDS; k++) pl_embed_free(&alone[k]);
    return 0;
}

static void assert_as_alone(pl_embed_result *r, uint32_t kind, const char *what)
{
    assert_int_equal(r->d_model, D);
    assert_int_equal(r->n_rows, alone[kind].n_rows);
    if (memcmp(r->vector, alone[kind].vector, r->n_rows * D * sizeof(float)))
        fail_msg("%s: pooling %d gives other bits", what, (int)kinds[kind]);
    pl_embed_free(r);
}

static void test_each_pooling_is_what_a_hand_makes(void **state)
{
    (void)state;
    const float *row = alone[0].vector;
    for (uint32_t i = 0; i < N_TEXTS; row += text[i++].n_tokens * D) {
        const size_t n = text[i].n_tokens;
        for (uint32_t k = 0; k < D; k++) {
            double sum = 0;
            for (size_t pos = 0; pos < n; pos++) sum += (double)row[pos * D + k];
            assert_true(alone[1].vector[i * D + k] == (float)(sum / (double)n));
        }
        assert_memory_equal(alone[2].vector + i * D, row, D * sizeof(float));
        assert_memory_equal(alone[3].vector + i * D, row + (n - 1) * D, D * sizeof(float));
    }
    assert_true(row == alone[0].vector + alone[0].n_rows * D);
}

/* All texts at once, beside twenty chats. */
static void run_among_chats(pl_engine *e, uint32_t kind, const char *what)
{
    static struct reply reply;
    static int32_t prompt[20][120];
    pl_stream *chat[20];
    for (uint32_t i = 0; i < 20; i++) {
        prompt_of(prompt[i], 120, 900 + i);
        if (i % 4 == 0) memcpy(prompt[i], token[i], 100 * sizeof **prompt);
        const pl_request r = request_of(prompt[i], 3 + 5 * i, 15 + i, 0);
        chat[i] = submit(e, &r);
    }
    pl_embed_result r = embed(e, 0, N_TEXTS, kinds[kind]);
    assert_as_alone(&r, kind, what);
    for (uint32_t i = 0; i < 20; i++) {
        finish(chat[i], &reply);
        assert_int_equal(reply.n, 15 + i);
    }
}

static void test_vectors_do_not_depend_on_others(void **state)
{
    (void)state;
    static const uint32_t sizes[] = { 1, 7, 64, 256 };
    for (uint32_t variant = 0; variant < 8; variant += variant_step) {
        const pl_params params = {
            .n_streams = variant == 3 ? 4 : 22, .n_threads = 1 + variant % 2,
            .step_tokens = sizes[variant % 4], .prefill_tokens = sizes[(variant + 1) % 4],
            .no_prefix_cache = variant & 4
        };
        char what[64];
        snprintf(what, sizeof what, "variant %u", variant);
        pl_engine *e = open_engine(params);
        for (uint32_t k = 0; k < N_KINDS; k++) run_among_chats(e, k, what);
        pl_close(e);
    }
}

/* The last row needs no other: pages at hand are taken. The mean needs all. */
static void test_what_is_at_hand_is_taken(void **state)
{
    (void)state;
    pl_stats before, after;
    pl_engine *e = open_engine((pl_params){ .n_streams = 1 });
    for (uint32_t k = 0; k < N_KINDS; k++) {
        pl_embed_result first = embed(e, 11, 1, kinds[k]);
        pl_stats_read(e, &before);
        pl_embed_result again = embed(e, 11, 1, kinds[k]);
        pl_stats_read(e, &after);
        assert_memory_equal(first.vector, again.vector, first.n_rows * D * sizeof(float));
        const uint64_t n_cached = after.n_cached_tokens - before.n_cached_tokens;
        const uint64_t n_full = (text[11].n_tokens - 1) / 16 * 16;
        assert_int_equal(n_cached, kinds[k] == PL_POOLING_LAST ? n_full : 0);
        pl_embed_free(&first);
        pl_embed_free(&again);
    }
    pl_close(e);
}

/* Far more texts than the queue takes, and nobody else is refused meanwhile. */
static void test_many_texts(void **state)
{
    (void)state;
    static pl_embed_text many[1000];
    const uint32_t n = n_many;
    static struct reply reply;
    pl_err err = { 0 };
    pl_embed_result r;
    for (uint32_t i = 0; i < n; i++) many[i] = text[i % N_TEXTS];
    pl_engine *e = open_engine((pl_params){ .n_streams = 6, .queue_requests = 7 });
    const pl_request request = request_of(token[3], 40, 200, 0);
    pl_stream *chat = submit(e, &request);
    if (pl_embed(e, many, n, PL_POOLING_LAST, &r, &err)) fail_msg("%s", err.text);
    assert_int_equal(r.n_rows, n);
    for (uint32_t i = 0; i < n; i++)
        assert_memory_equal(r.vector + i * D, alone[3].vector + i % N_TEXTS * D, D * sizeof(float));
    pl_embed_free(&r);
    finish(chat, &reply);
    assert_int_equal(reply.n, 200);
    pl_close(e);
}

static void test_the_default_is_the_engines(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < N_KINDS; k++) {
        pl_engine *e = open_engine((pl_params){ .n_streams = 3, .pooling = kinds[k] });
        assert_int_equal(pl_engine_plan(e)->pooling, kinds[k]);
        pl_embed_result r = embed(e, 0, N_TEXTS, PL_POOLING_DEFAULT);
        assert_as_alone(&r, k, "default");
        pl_close(e);
    }
    pl_engine *e = open_engine((pl_params){ .n_streams = 1 });
    assert_int_equal(pl_engine_plan(e)->pooling, PL_POOLING_LAST);      /* the file is silent */
    pl_close(e);
}

/* ---- what is refused, what is given up ------------------------------------------------------- */

static pl_status status_of(pl_engine *e, const pl_embed_text *t, size_t n, pl_pooling pooling)
{
    pl_embed_result r;
    const pl_status st = pl_embed(e, t, n, pooling, &r, NULL);
    assert_null(r.vector);
    return st;
}

static void test_refusals(void **state)
{
    (void)state;
    static int32_t long_text[513];
    const int32_t beyond[2] = { 3, TINY_VOCAB }, negative[1] = { -1 };
    pl_engine *e = open_engine((pl_params){ .n_streams = 2 });
    pl_embed_text t[2] = { text[1], { token[0], 0 } };
    assert_int_equal(status_of(e, t, 0, PL_POOLING_LAST), PL_E_PARAM);
    assert_int_equal(status_of(e, t, 2, PL_POOLING_LAST), PL_E_PARAM);
    t[1] = (pl_embed_text){ beyond, 2 };
    assert_int_equal(status_of(e, t, 2, PL_POOLING_CLS), PL_E_PARAM);
    t[1] = (pl_embed_text){ negative, 1 };
    assert_int_equal(status_of(e, t, 2, PL_POOLING_MEAN), PL_E_PARAM);
    t[1] = (pl_embed_text){ long_text, 513 };
    assert_int_equal(status_of(e, t, 2, PL_POOLING_MEAN), PL_E_CONTEXT);
    assert_int_equal(status_of(e, text, 2, PL_POOLING_RANK), PL_E_PARAM);
    t[1].n_tokens = 512;        /* there is no reply that wants room */
    pl_embed_result r;
    assert_int_equal(pl_embed(e, t, 2, PL_POOLING_MEAN, &r, NULL), PL_OK);
    pl_embed_free(&r);
    pl_close(e);
}

static pl_embedding *begin(pl_engine *e, pl_pooling pooling)
{
    pl_embedding *b = NULL;
    pl_err err = { 0 };
    const pl_embed_request r = { .text = text, .n_texts = N_TEXTS, .pooling = pooling };
    if (pl_embedding_open(e, &r, &b, &err)) fail_msg("%s", err.text);
    return b;
}

static void test_given_up_at_any_time(void **state)
{
    (void)state;
    pl_engine *e = open_engine((pl_params){ .n_streams = 4, .step_tokens = 16 });
    pl_embed_result r;
    for (uint32_t i = 0; i < 40; i++) {
        bool is_done = false;
        pl_embedding *b = begin(e, kinds[i % N_KINDS]);
        for (uint32_t k = 0; k < i * 50; k++)
            assert_int_equal(pl_embedding_poll(b, &is_done, NULL), PL_OK);
        pl_embedding_close(b);
    }
    r = embed(e, 0, N_TEXTS, PL_POOLING_MEAN);
    assert_as_alone(&r, 1, "after others were given up");
    pl_embedding_close(begin(e, PL_POOLING_MEAN));
    pl_close(e);
}

/* What was begun before a drain is finished; nothing else begins. */
static void test_a_drain_lets_it_finish(void **state)
{
    (void)state;
    pl_embedding *none = NULL;
    const pl_embed_request request = { .text = text, .n_texts = 1 };
    pl_engine *e = open_engine((pl_params){ .n_streams = 2 });
    pl_embedding *b = begin(e, PL_POOLING_LAST);
    pl_drain(e);
    assert_int_equal(pl_embedding_open(e, &request, &none, NULL), PL_E_CLOSING);
    assert_null(none);
    for (bool is_done = false; !is_done;) assert_int_equal(pl_embedding_poll(b, &is_done, NULL), 0);
    for (uint32_t i = 0; i < N_TEXTS; i++) {
        size_t n_rows;
        assert_memory_equal(pl_embedding_rows(b, i, &n_rows), alone[3].vector + i * D,
                            D * sizeof(float));
        assert_int_equal(n_rows, 1);
    }
    pl_embedding_close(b);
    pl_close(e);
}

/* Of all texts one has a place in the queue: chats find theirs. Many embeddings go on beside. */
static void test_others_find_their_places(void **state)
{
    (void)state;
    enum { N_JOBS = 12 };
    static struct reply reply;
    pl_embedding *b[N_JOBS];
    pl_engine *e = open_engine((pl_params){ .n_streams = 2, .queue_requests = N_JOBS + 4 });
    const pl_request r = request_of(token[3], 40, 20, 0);
    pl_stream *chat[4];
    for (int i = 0; i < N_JOBS; i++) b[i] = begin(e, PL_POOLING_MEAN);
    for (int i = 0; i < 4; i++) chat[i] = submit(e, &r);
    for (uint32_t n_done = 0; n_done < N_JOBS;) {
        n_done = 0;
        for (int i = 0; i < N_JOBS; i++) {
            bool is_done;
            pl_err err = { 0 };
            if (pl_embedding_poll(b[i], &is_done, &err)) fail_msg("%s", err.text);
            n_done += is_done;
        }
    }
    for (int i = 0; i < 4; i++) finish(chat[i], &reply);
    for (int i = 0; i < N_JOBS; i++) pl_embedding_close(b[i]);
    pl_stats stats;
    pl_stats_read(e, &stats);
    assert_int_equal(stats.n_rejected_busy, 0);
    assert_int_equal(stats.n_queued, 0);
    assert_int_equal(stats.n_queued_tokens, 0);
    pl_close(e);
}

/* A full queue refuses an embedding as it does a chat. */
static void test_a_full_queue(void **state)
{
    (void)state;
    pl_stream *s[2];
    pl_embedding *none = NULL;
    const pl_embed_request request = { .text = text, .n_texts = 5 };
    pl_engine *e = open_engine((pl_params){ .n_streams = 1, .queue_requests = 1,
                                            .ctx_tokens = TINY_CTX });
    const pl_request r = request_of(token[3], 40, 4000, 0);     /* nobody reads: it never ends */
    for (int i = 0; i < 2; i++) s[i] = submit(e, &r);
    assert_int_equal(pl_embedding_open(e, &request, &none, NULL), PL_E_BUSY);
    for (int i = 0; i < 2; i++) pl_stream_close(s[i]);
    pl_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_pooling_is_what_a_hand_makes),
        cmocka_unit_test(test_vectors_do_not_depend_on_others),
        cmocka_unit_test(test_what_is_at_hand_is_taken),
        cmocka_unit_test(test_many_texts),
        cmocka_unit_test(test_the_default_is_the_engines),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_given_up_at_any_time),
        cmocka_unit_test(test_a_drain_lets_it_finish),
        cmocka_unit_test(test_others_find_their_places),
        cmocka_unit_test(test_a_full_queue),
    };
    if (!tiny_model_write(model_path, true)) return 1;
    backend_name = "cpu";
    int n_failed = cmocka_run_group_tests(tests, make_alone, free_alone);
    backend_name = "exact";
    variant_step = 3;
    n_many = 60;
    n_failed += cmocka_run_group_tests(tests, make_alone, free_alone);
    unlink(model_path);
    return n_failed;
}
