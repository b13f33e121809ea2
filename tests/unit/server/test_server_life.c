/* Exchanges under way: clients that leave or read slowly, long bodies, pings, shutting down. */
#include <stdatomic.h>

#include "unit/server/server_fixture.h"

enum { LONG_BYTES = 64 << 10, SLOW_BYTES = 8000, N_CLIENTS = 12, N_ROUNDS = 25, N_LIVES = 12 };

static const char *const kinds[] = { "", ",\"stream\":true", ",\"n\":3",
                                     ",\"stream\":true,\"n\":3" };
enum { N_KINDS = sizeof kinds / sizeof *kinds };

/* ---- clients that leave --------------------------------------------------------------------- */

static void a_client_that_leaves_ends_its_stream(void **state)
{
    struct fixture f = open_fixture();
    (void)state;
    for (int kind = 0; kind < N_KINDS; kind++) {
        const int fd = begin_chat(&f, "!stuck", kinds[kind]);
        assert_true(comes_true(some_open, &f));
        close(fd);
        assert_true(comes_true(nothing_open, &f));
    }
    close_fixture(&f);
}

static void a_client_that_leaves_the_queue(void **state)
{
    const struct server_params params = params_of_test();
    struct fixture f = open_with(&params, 1, 4);
    (void)state;
    const int running = begin_chat(&f, "!stuck", "");
    assert_true(comes_true(one_admitted, &f));
    for (int kind = 0; kind < 2; kind++) {
        const int queued = begin_chat(&f, "waits", kinds[kind]);
        assert_true(comes_true(two_open, &f));
        close(queued);
        assert_true(comes_true(one_open, &f));
    }
    close(running);
    assert_true(comes_true(nothing_open, &f));
    close_fixture(&f);
}

/* A client that sends more than it should is not one that left. */
static void stray_bytes_change_nothing(void **state)
{
    struct fixture f = open_fixture();
    (void)state;
    const int fd = begin_chat(&f, "!stuck", "");
    assert_true(comes_true(one_admitted, &f));
    assert_true(http_write(fd, "\r\n", 2));
    fake_sleep_ms(100);
    assert_int_equal(fake_n_open(f.engine), 1);
    close(fd);
    assert_true(comes_true(nothing_open, &f));
    close_fixture(&f);
}

/* ---- nobody waits for another --------------------------------------------------------------- */

/* A reply of megabytes whose reader does nothing: its stream stalls, what is kept for it is
 * bounded, and others go on. */
static void a_slow_reader_stalls_its_own_stream(void **state)
{
    struct fixture f = open_fixture();
    char *content = malloc(SLOW_BYTES + 1);
    (void)state;
    memset(content, 'z', SLOW_BYTES);
    content[SLOW_BYTES] = 0;
    f.engine->step_ns = 1000;
    char *body = chat_body(content, ",\"stream\":true,\"logprobs\":true,\"top_logprobs\":20");
    const int fd = http_connect(f.port);
    assert_true(http_begin(fd, "POST", CHAT, "Connection: close\r\n", body, strlen(body),
                           strlen(body)));
    pl_stats before = { 0 }, after;
    for (int i = 0; i < 100; i++) {         /* until no token comes any more */
        fake_sleep_ms(100);
        pl_stats_read(f.engine, &after);
        if (after.n_reply_tokens && after.n_reply_tokens == before.n_reply_tokens) break;
        before = after;
    }
    assert_true(after.n_reply_tokens < SLOW_BYTES / 2);
    for (int i = 0; i < 20; i++) {
        struct answer a = chat(&f, "quick", "");
        expect(&a, "choices.0.message.content", "quick");
        answer_free(&a);
    }
    struct answer a = http_finish(fd);
    expect_status(&a, 200);
    assert_non_null(strstr(a.body.bytes, "\"finish_reason\":\"stop\""));
    pl_stats_read(f.engine, &after);
    assert_int_equal(after.n_reply_tokens, SLOW_BYTES + 100);
    answer_free(&a);
    free(body);
    free(content);
    close_fixture(&f);
}

static bool one_tokenizing(const struct fixture *f)
{
    return fake_n_tokenizing(f->engine) == 1;
}

/* Short requests are answered while a long prompt is being tokenized. */
static void a_long_body_holds_nobody_up(void **state)
{
    char *content = malloc(LONG_BYTES + 1);
    (void)state;
    memset(content, 'z', LONG_BYTES);
    memcpy(content, "!slow", 5);
    content[LONG_BYTES] = 0;
    for (int kind = 0; kind < 2; kind++) {
        struct fixture f = open_fixture();
        char more[64];
        snprintf(more, sizeof more, "%s,\"max_tokens\":9", kinds[kind]);
        const int fd = begin_chat(&f, content, more);
        assert_true(comes_true(one_tokenizing, &f));
        for (int i = 0; i < 5; i++) {
            struct answer a = chat(&f, "quick", "");
            expect(&a, "choices.0.message.content", "quick");
            answer_free(&a);
        }
        pl_stats stats;
        pl_stats_read(f.engine, &stats);
        assert_int_equal(stats.n_requests, 5);      /* the long one is not submitted yet */
        fake_release(f.engine);
        struct answer a = http_finish(fd);
        expect_status(&a, 200);
        assert_non_null(strstr(a.body.bytes, "\"length\""));
        answer_free(&a);
        close_fixture(&f);
    }
    struct fixture f = open_fixture();
    memcpy(content, "!busy", 5);
    expect_error(chat(&f, content, ""), 429, "queue_full", "null");
    expect_error(chat(&f, content, ",\"stop\":5"), 400, "invalid_parameter", "stop");
    free(content);
    close_fixture(&f);
}

static void pings_while_nothing_comes(void **state)
{
    struct server_params params = params_of_test();
    params.ping_interval_s = 1;
    struct fixture f = open_with(&params, 1, 4);
    char bytes[4096];
    size_t n = 0;
    (void)state;
    const int fd = begin_chat(&f, "!stuck", ",\"stream\":true");
    while (n < sizeof bytes - 1) {
        const ssize_t more = recv(fd, bytes + n, sizeof bytes - 1 - n, 0);
        assert_true(more > 0);
        n += (size_t)more;
        bytes[n] = 0;
        const char *first = strstr(bytes, ": ping\n\n");
        if (first && strstr(first + 1, ": ping\n\n")) break;
    }
    assert_non_null(strstr(bytes, "200 OK"));
    close(fd);
    close_fixture(&f);
}

/* The whole reply comes after the handler saw nothing and before it suspends, or while the request
 * is still being submitted on a thread of its own. */
static void wake_ups_are_neither_lost_nor_early(void **state)
{
    struct fixture f = open_fixture();
    char *content = malloc(LONG_BYTES + 1);
    (void)state;
    memset(content, 'z', LONG_BYTES);
    content[LONG_BYTES] = 0;
    for (int is_long = 0; is_long < 2; is_long++) {
        f.engine->next_gap_ms = is_long ? 0 : 30;
        f.engine->submit_gap_ms = is_long ? 30 : 0;
        for (int kind = 0; kind < N_KINDS; kind++) {
            char more[64];
            snprintf(more, sizeof more, "%s,\"max_tokens\":3", kinds[kind]);
            struct answer a = chat(&f, is_long ? content : "abcd", more);
            expect_status(&a, 200);
            assert_non_null(strstr(a.body.bytes, "\"length\""));
            answer_free(&a);
        }
    }
    free(content);
    close_fixture(&f);
}

static void one_connection_many_requests(void **state)
{
    struct fixture f = open_fixture();
    char *body = chat_body("again", "");
    char bytes[8192];
    (void)state;
    const int fd = http_connect(f.port);
    for (int i = 0; i < 5; i++) {
        size_t n = 0;
        assert_true(http_begin(fd, "POST", CHAT, "", body, strlen(body), strlen(body)));
        do {
            const ssize_t more = recv(fd, bytes + n, sizeof bytes - 1 - n, 0);
            assert_true(more > 0);
            n += (size_t)more;
            bytes[n] = 0;
        } while (!strstr(bytes, "cached_tokens"));
        assert_non_null(strstr(bytes, "\"content\":\"again\""));
    }
    close(fd);
    free(body);
    close_fixture(&f);
}

/* ---- many at once --------------------------------------------------------------------------- */

struct client {
    pthread_t thread;
    const struct fixture *f;
    int number;
    bool takes_refusals;        /* the server may be closing */
    atomic_int n_wrong, n_right;
};

static bool is_refusal(const struct answer *a)
{
    return !a->is_whole || a->status == 503 || strstr(a->body.bytes, "shutting_down");
}

/* Asks in every way, leaves early now and then; each reply must be the client's own. */
static void *ask_often(void *arg)
{
    struct client *c = arg;
    for (int i = 0; i < N_ROUNDS; i++) {
        char content[64], want[96];
        snprintf(content, sizeof content, "client %d round %d", c->number, i);
        snprintf(want, sizeof want, "\"content\":\"%s\"", content);
        char *body = chat_body(content, kinds[(c->number + i) % N_KINDS]);
        const int fd = http_connect(c->f->port);
        if (fd < 0) {
            free(body);
            continue;
        }
        const bool leaves = (c->number + i) % 5 == 0, streams = (c->number + i) % 2;
        http_begin(fd, "POST", CHAT, "Connection: close\r\n", body, strlen(body), strlen(body));
        free(body);
        if (leaves) {
            fake_sleep_ms(i % 3);
            close(fd);
            continue;
        }
        struct answer a = http_finish(fd);
        const bool is_own = a.status == 200 && a.is_whole &&
                            strstr(a.body.bytes, streams ? "[DONE]" : want);
        if (is_own) c->n_right++;
        else if (!c->takes_refusals || !is_refusal(&a)) c->n_wrong++;
        answer_free(&a);
    }
    return NULL;
}

static void start_clients(struct client *c, const struct fixture *f, bool takes_refusals)
{
    for (int i = 0; i < N_CLIENTS; i++) {
        c[i] = (struct client){ .f = f, .number = i, .takes_refusals = takes_refusals };
        assert_int_equal(pthread_create(&c[i].thread, NULL, ask_often, &c[i]), 0);
    }
}

static int join_clients(struct client *c)
{
    int n_wrong = 0;
    for (int i = 0; i < N_CLIENTS; i++) {
        pthread_join(c[i].thread, NULL);
        n_wrong += c[i].n_wrong;
    }
    return n_wrong;
}

static void many_clients_at_once(void **state)
{
    const struct server_params params = params_of_test();
    struct fixture f = open_with(&params, 4, 1000);
    struct client clients[N_CLIENTS];
    (void)state;
    start_clients(clients, &f, false);
    assert_int_equal(join_clients(clients), 0);
    for (int i = 0; i < N_CLIENTS; i++) assert_true(clients[i].n_right >= N_ROUNDS / 2);
    assert_true(comes_true(nothing_open, &f));
    close_fixture(&f);
}

/* Clients arrive while the server drains and closes: each is answered or cut, nothing hangs, and
 * pl_close finds no open stream. */
static void closing_among_clients(void **state)
{
    const struct server_params params = params_of_test();
    (void)state;
    for (int life = 0; life < N_LIVES; life++) {
        struct fixture f = open_with(&params, 4, 1000);
        struct client clients[N_CLIENTS];
        start_clients(clients, &f, true);
        fake_sleep_ms(3 * life);
        if (life % 2) server_drain(f.server);
        if (life % 3 == 0) fake_sleep_ms(5);
        server_close(f.server);
        assert_int_equal(join_clients(clients), 0);
        pl_close(f.engine);
    }
}

/* ---- shutting down -------------------------------------------------------------------------- */

static void draining_refuses_new_and_finishes_old(void **state)
{
    struct fixture f = open_fixture();
    const char *content = "!held until others were refused";
    (void)state;
    const int old = begin_chat(&f, content, "");
    assert_true(comes_true(one_admitted, &f));
    assert_int_equal(server_n_active(f.server), 1);
    server_drain(f.server);
    struct answer a = chat(&f, "new", "");
    assert_non_null(strstr(a.head.bytes, "Connection: close\r\n"));
    expect_error(a, 503, "shutting_down", "null");
    expect_error(get(&f, "/health"), 503, "shutting_down", "null");
    a = get(&f, "/metrics");
    assert_non_null(strstr(a.body.bytes, "paceline_rejected_total{reason=\"shutting_down\"} 1\n"));
    answer_free(&a);
    fake_release(f.engine);
    a = http_finish(old);
    expect(&a, "choices.0.message.content", content);
    answer_free(&a);
    close_fixture(&f);
}

struct closer {
    pthread_t thread;
    struct server *server;
};

static void *close_server(void *arg)
{
    server_close(((struct closer *)arg)->server);
    return NULL;
}

/* What still runs when the server closes is told so. */
static void closing_says_why(void **state)
{
    struct fixture f = open_fixture();
    (void)state;
    const int plain = begin_chat(&f, "!stuck", ""), stream = begin_chat(&f, "!stuck", kinds[1]);
    assert_true(comes_true(two_open, &f));
    struct closer closer = { .server = f.server };
    assert_int_equal(pthread_create(&closer.thread, NULL, close_server, &closer), 0);
    expect_error(http_finish(plain), 503, "shutting_down", "null");
    struct answer a = http_finish(stream);
    expect_status(&a, 200);
    assert_non_null(strstr(a.body.bytes, "\"code\":\"shutting_down\""));
    answer_free(&a);
    pthread_join(closer.thread, NULL);
    pl_close(f.engine);
}

/* An engine that ends nothing cannot keep the server from closing. */
static void a_dead_engine_is_cut_off(void **state)
{
    struct fixture f = open_fixture();
    (void)state;
    const int plain = begin_chat(&f, "!dead", ""), stream = begin_chat(&f, "!dead", kinds[1]);
    assert_true(comes_true(two_open, &f));
    server_close(f.server);             /* returns */
    struct answer a = http_finish(plain), b = http_finish(stream);
    assert_false(a.is_whole);
    assert_false(b.is_whole);
    answer_free(&a);
    answer_free(&b);
    pl_close(f.engine);
}

/* Of five long bodies two are being tokenized, by as many threads; a body that was read is let
 * go. */
static bool all_are_there(const struct fixture *f)
{
    struct answer a = get(f, "/metrics");
    const char *at = strstr(a.body.bytes, "\npaceline_http_body_bytes ");
    const bool is_so = at && strtod(strchr(at, ' '), NULL) > 3.0 * LONG_BYTES;
    answer_free(&a);
    return is_so && fake_n_tokenizing(f->engine) == 2;
}

static void closing_waits_for_what_is_prepared(void **state)
{
    struct fixture f = open_fixture();
    char *content = malloc(LONG_BYTES + 1);
    int fd[5];
    (void)state;
    memset(content, 'z', LONG_BYTES);
    memcpy(content, "!slow", 5);
    content[LONG_BYTES] = 0;
    for (int i = 0; i < 5; i++) fd[i] = begin_chat(&f, content, kinds[i % N_KINDS]);
    assert_true(comes_true(all_are_there, &f));
    struct closer closer = { .server = f.server };
    assert_int_equal(pthread_create(&closer.thread, NULL, close_server, &closer), 0);
    fake_sleep_ms(20);
    fake_release(f.engine);
    pthread_join(closer.thread, NULL);
    for (int i = 0; i < 5; i++) {
        struct answer a = http_finish(fd[i]);
        assert_true(a.status == 503 || strstr(a.body.bytes, "shutting_down"));
        answer_free(&a);
    }
    free(content);
    pl_close(f.engine);
}

static void a_port_in_use_is_said(void **state)
{
    struct fixture f = open_fixture();
    struct server_params params = params_of_test();
    struct server *other;
    pl_err err = { 0 };
    (void)state;
    params.port = f.port;
    assert_int_equal(server_open(&other, &params, &err), PL_E_IO);
    assert_null(other);
    assert_non_null(strstr(err.text, "cannot listen on 127.0.0.1"));
    params.host = "no.such.host.invalid";
    assert_int_equal(server_open(&other, &params, &err), PL_E_PARAM);
    assert_null(other);
    close_fixture(&f);
}

/* ---- what balancers are told ---------------------------------------------------------------- */

/* A port that was free a moment ago. */
static uint16_t some_port(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof address;
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &n), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static void assert_agent_says(uint16_t port, const char *want)
{
    char line[128] = "";
    size_t n = 0;
    const int fd = http_connect(port);
    for (ssize_t got; n < sizeof line - 1 && (got = read(fd, line + n, sizeof line - 1 - n)) > 0;)
        n += (size_t)got;
    close(fd);
    assert_string_equal(line, want);
}

static void balancers_are_told(void **state)
{
    struct server_params params = params_of_test();
    struct server *loading = NULL;
    pl_err err = { 0 };
    (void)state;
    params.agent_port = some_port();
    if (server_open(&loading, &params, &err)) fail_msg("%s", err.text);
    assert_agent_says(params.agent_port, "down #loading\n");
    const int idle = http_connect(params.agent_port);   /* is told, and holds nothing up */
    server_close(loading);
    close(idle);

    params.agent_port = some_port();
    struct fixture f = open_with(&params, 4, 16);
    for (int i = 0; i < 50; i++) assert_agent_says(params.agent_port, "up ready 100% maxconn:6\n");
    server_drain(f.server);
    assert_agent_says(params.agent_port, "drain\n");
    close_fixture(&f);

    params.agent_host = "no.such.host.invalid";
    assert_int_equal(server_open(&loading, &params, &err), PL_E_PARAM);
    assert_null(loading);
    assert_non_null(strstr(err.text, "--agent-host no.such.host.invalid"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_that_leaves_ends_its_stream),
        cmocka_unit_test(a_client_that_leaves_the_queue),
        cmocka_unit_test(stray_bytes_change_nothing),
        cmocka_unit_test(a_slow_reader_stalls_its_own_stream),
        cmocka_unit_test(a_long_body_holds_nobody_up),
        cmocka_unit_test(pings_while_nothing_comes),
        cmocka_unit_test(wake_ups_are_neither_lost_nor_early),
        cmocka_unit_test(one_connection_many_requests),
        cmocka_unit_test(many_clients_at_once),
        cmocka_unit_test(closing_among_clients),
        cmocka_unit_test(draining_refuses_new_and_finishes_old),
        cmocka_unit_test(closing_says_why),
        cmocka_unit_test(a_dead_engine_is_cut_off),
        cmocka_unit_test(closing_waits_for_what_is_prepared),
        cmocka_unit_test(a_port_in_use_is_said),
        cmocka_unit_test(balancers_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
