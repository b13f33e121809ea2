/* Embeddings over HTTP when something goes wrong: clients that leave, engines that fail or never
 * answer, servers that close. */
#include "unit/server/server_fixture.h"

#define EMBED "/v1/embeddings"

static int begin_embed(const struct fixture *f, const char *body)
{
    const int fd = http_connect(f->port);
    assert_true(fd >= 0);
    assert_true(http_begin(fd, "POST", EMBED, "Connection: close\r\n", body, strlen(body),
                           strlen(body)));
    return fd;
}

static bool nothing_held(const struct fixture *f)
{
    struct answer a = get(f, "/metrics");
    const bool is_so = strstr(a.body.bytes, "\npaceline_http_body_bytes 0\n") &&
                       strstr(a.body.bytes, "\npaceline_http_active_requests 0\n");
    answer_free(&a);
    return is_so;
}

static void an_answer(void **state)
{
    struct fixture f = open_fixture();
    (void)state;
    struct answer a = post(&f, EMBED, "{\"input\":[\"a\",[1,2,3]],\"embd_normalize\":-1}");
    expect_status(&a, 200);
    expect(&a, "data.0.embedding", "[1,97,-1,0.5]");
    expect(&a, "data.1.embedding", "[3,6,-3,0.5]");
    expect(&a, "data.1.index", "1");
    expect(&a, "usage.prompt_tokens", "4");
    answer_free(&a);
    a = post(&f, "/embedding", "{\"content\":\"a\",\"embd_normalize\":0,\"dimensions\":1}");
    expect(&a, "0.embedding", "[[32760]]");
    answer_free(&a);
    assert_true(comes_true(nothing_held, &f));
    close_fixture(&f);
}

static void as_ollama_has_it(void **state)
{
    struct fixture f = open_fixture();
    (void)state;
    struct answer a = post(&f, "/api/embed", "{\"input\":[\"a\",[1,2,3]],\"embd_normalize\":-1}");
    expect_status(&a, 200);
    expect(&a, "embeddings", "[[1,97,-1,0.5],[3,6,-3,0.5]]");
    expect(&a, "model", "fake.gguf:latest");
    expect(&a, "prompt_eval_count", "4");
    expect(&a, "load_duration", "0");
    answer_free(&a);
    a = post(&f, "/api/embeddings", "{\"prompt\":\"a\"}");
    expect_status(&a, 200);
    expect(&a, "embedding", "[1,97,-1,0.5]");
    answer_free(&a);
    a = post(&f, "/api/embeddings", "{\"input\":\"a\"}");
    expect_status(&a, 400);
    expect(&a, "error", "prompt is missing; a string is wanted");
    answer_free(&a);
    assert_true(comes_true(nothing_held, &f));
    close_fixture(&f);
}

static void what_the_engine_refuses(void **state)
{
    struct fixture f = open_fixture();
    (void)state;
    expect_error(post(&f, EMBED, "{\"input\":\"!busy\"}"), 429, "queue_full", "null");
    expect_error(post(&f, EMBED, "{\"input\":\"!closing\"}"), 503, "shutting_down", "null");
    expect_error(post(&f, EMBED, "{\"input\":[\"a\",\"!error\"]}"), 500, "internal_error", "null");
    assert_true(comes_true(nothing_open, &f));
    assert_true(comes_true(nothing_held, &f));
    close_fixture(&f);
}

static void a_client_that_leaves(void **state)
{
    struct fixture f = open_fixture();
    (void)state;
    for (int i = 0; i < 5; i++) {
        const int fd = begin_embed(&f, "{\"input\":[\"a\",\"!stuck\"]}");
        assert_true(comes_true(one_open, &f));
        close(fd);
        assert_true(comes_true(nothing_open, &f));
    }
    assert_true(comes_true(nothing_held, &f));
    close_fixture(&f);
}

static void a_drain_lets_it_finish(void **state)
{
    struct fixture f = open_fixture();
    (void)state;
    const int fd = begin_embed(&f, "{\"input\":\"!held\",\"embd_normalize\":-1}");
    assert_true(comes_true(one_admitted, &f));
    server_drain(f.server);
    expect_error(post(&f, EMBED, "{\"input\":\"a\"}"), 503, "shutting_down", "null");
    fake_release(f.engine);
    struct answer a = http_finish(fd);
    expect_status(&a, 200);
    expect(&a, "usage.total_tokens", "5");
    answer_free(&a);
    close_fixture(&f);
}

/* Whether the engine still ends anything or not. */
static void closing_says_why(void **state)
{
    static const char *const body[] = { "{\"input\":\"!stuck\"}", "{\"input\":\"!dead\"}" };
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct fixture f = open_fixture();
        const int fd = begin_embed(&f, body[i]);
        assert_true(comes_true(one_open, &f));
        server_close(f.server);
        expect_error(http_finish(fd), 503, "shutting_down", "null");
        pl_close(f.engine);
    }
}

/* Tokens and vectors of all requests have a bound, and it is given back. */
static void vectors_count_as_bodies(void **state)
{
    enum { N_TEXTS = 100 };
    struct server_params params = params_of_test();
    struct strbuf body = { 0 };
    (void)state;
    params.max_body_bytes = 2000 / 16;      /* all together: 2000 */
    struct fixture f = open_with(&params, 4, 256);
    for (int i = 0; i < 12; i++) strbuf_addf(&body, "%s7", i ? "],[" : "{\"input\":[[");
    strbuf_add_str(&body, "]]}");           /* 20 bytes each */
    for (int i = 0; i < 3; i++) {
        struct answer a = post(&f, EMBED, body.bytes);
        expect_status(&a, 200);
        answer_free(&a);
    }
    strbuf_free(&body);
    int fd[N_TEXTS];
    for (int i = 0; i < N_TEXTS; i++) fd[i] = begin_embed(&f, "{\"input\":\"!held\"}");
    uint32_t n_refused = 0;
    for (uint64_t end = clock_ns() + 60000000000; !n_refused && clock_ns() < end;) {
        struct answer a = get(&f, "/metrics");
        n_refused = strstr(a.body.bytes, "code=\"429\"") != NULL;
        answer_free(&a);
    }
    assert_true(n_refused);
    fake_release(f.engine);
    for (int i = 0; i < N_TEXTS; i++) {
        struct answer a = http_finish(fd[i]);
        assert_true(a.status == 200 || a.status == 429);
        answer_free(&a);
    }
    assert_true(comes_true(nothing_held, &f));
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer),
        cmocka_unit_test(as_ollama_has_it),
        cmocka_unit_test(what_the_engine_refuses),
        cmocka_unit_test(a_client_that_leaves),
        cmocka_unit_test(a_drain_lets_it_finish),
        cmocka_unit_test(closing_says_why),
        cmocka_unit_test(vectors_count_as_bodies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
