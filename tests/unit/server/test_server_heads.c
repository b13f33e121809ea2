/* Heads as they come over the wire, and connections that do not behave. */
#include "server/connections.h"
#include "server/target.h"
#include "unit/server/server_fixture.h"

static bool ends_at_once(int fd)
{
    char byte;
    struct pollfd p = { .fd = fd, .events = POLLIN };
    return poll(&p, 1, 60000) == 1 && recv(fd, &byte, 1, 0) <= 0;
}

/* Sends bytes as they are and reads until the server closes. */
static struct answer tell(const struct fixture *f, const char *bytes, size_t n)
{
    const int fd = http_connect(f->port);
    assert_true(fd >= 0);
    http_write(fd, bytes, n);
    return http_finish(fd);
}

static struct answer say(const struct fixture *f, const char *text)
{
    return tell(f, text, strlen(text));
}

static uint32_t count(const struct answer *a, const char *what)
{
    uint32_t n = 0;
    const char *at = a->body.n ? a->body.bytes : "";
    while ((at = strstr(at, what))) at++, n++;
    return n;
}

/* ---- targets -------------------------------------------------------------------------------- */

static void targets_are_read_in_every_form(void **state)
{
    static const struct { const char *target, *path; } cases[] = {
        { "/health", "/health" }, { "/health?x=1", "/health" }, { "/a%20b%2F", "/a b/" },
        { "http://h:80/health", "/health" }, { "HTTPS://h/health?x", "/health" },
        { "http://h", "/" }, { "http://h?x", "/" }, { "*", "*" }, { "/%", "/%" }, { "/%4", "/%4" },
        { "/%zz", "/%zz" }, { "", "" }, { "/http://h/health", "/http://h/health" },
    };
    char *path, *large = malloc(TARGET_MAX_BYTES + 2);
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(target_parse(cases[i].target, &path), TARGET_PATH);
        assert_string_equal(path, cases[i].path);
        free(path);
    }
    assert_int_equal(target_parse("/health%00x", &path), TARGET_ZERO_BYTE);
    assert_null(path);
    memset(large, '/', TARGET_MAX_BYTES + 1);
    large[TARGET_MAX_BYTES + 1] = 0;
    assert_int_equal(target_parse(large, &path), TARGET_TOO_LONG);
    free(large);
}

static void absolute_targets_are_served(void **state)
{
    struct fixture f = open_fixture();
    (void)state;
    struct answer a = say(&f, "GET http://test/health HTTP/1.1\r\nHost: test\r\n"
                              "Connection: close\r\n\r\n");
    expect_status(&a, 200);
    expect(&a, "status", "ok");
    answer_free(&a);
    expect_error(say(&f, "GET /health%00x HTTP/1.1\r\nHost: test\r\n\r\n"), 400, "bad_target",
                 "null");
    expect_error(say(&f, "GET /healthx HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"), 404,
                 "not_found", "null");
    close_fixture(&f);
}

/* ---- framing -------------------------------------------------------------------------------- */

#define HIDDEN "GET /hidden HTTP/1.1\r\nHost: test\r\n\r\n"

/* Each is answered once, and what follows it is no request. */
static void heads_that_hide_a_request_are_refused(void **state)
{
    static const struct { const char *head, *code; unsigned status; } cases[] = {
        { "Host: t\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\n", "bad_content_length", 400 },
        { "Host: t\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n", "bad_content_length", 400 },
        { "Host: t\r\nContent-Length: 0\r\nContent-Length: x\r\n\r\n", "bad_content_length", 400 },
        { "Host: t\r\nContent-Length: -5\r\n\r\n", "bad_content_length", 400 },
        { "Host: t\r\nContent-Length: +5\r\n\r\n", "bad_content_length", 400 },
        { "Host: t\r\nContent-Length: 5, 5\r\n\r\n", "bad_content_length", 400 },
        { "Host: t\r\nContent-Length: \r\n\r\n", "bad_content_length", 400 },
        { "Host: t\r\nContent-Length: 0x5\r\n\r\n", "bad_content_length", 400 },
        { "Host: t\r\nContent-Length: 5 \r\n\r\n", "bad_content_length", 400 },
        { "Host: t\r\nContent-Length: 99999999999999999999999\r\n\r\n", "body_too_large", 413 },
        { "Host: t\r\nContent-Length: 18446744073709551615\r\n\r\n", "body_too_large", 413 },
        { "Host: t\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
          "bad_transfer_encoding", 400 },
        { "Host: t\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
          "bad_transfer_encoding", 400 },
        { "Host: t\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "bad_transfer_encoding",
          501 },
        { "Host: t\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
          "bad_transfer_encoding", 501 },
        { "Host: t\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "bad_header", 400 },
        { "Host: t\r\nContent-Length : 5\r\n\r\n", "bad_header", 400 },
        { "Host: t\r\nX: a\x01 b\r\n\r\n", "bad_header", 400 },
        { "\r\n", "bad_host", 400 }, { "Content-Length: 0\r\n\r\n", "bad_host", 400 },
        { "Host: a\r\nHost: b\r\n\r\n", "bad_host", 400 },
    };
    struct fixture f = open_fixture();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int is_get = 0; is_get < 2; is_get++) {
            char text[512];
            snprintf(text, sizeof text, "%s HTTP/1.1\r\n%s" HIDDEN,
                     is_get ? "GET /health" : "POST " CHAT, cases[i].head);
            struct answer a = say(&f, text);
            if (a.status != cases[i].status || !a.is_whole || count(&a, "HTTP/1.1"))
                fail_msg("%s: %u %s", text, a.status, a.body.n ? a.body.bytes : "");
            assert_non_null(strstr(a.head.bytes, "application/json"));
            assert_non_null(strstr(a.head.bytes, "Connection: close\r\n"));
            expect_error(a, cases[i].status, cases[i].code, "null");
        }
    close_fixture(&f);
}

static void heads_that_are_odd_and_sound_are_served(void **state)
{
    static const char *const heads[] = {
        "GET /health HTTP/1.0\r\n\r\n", "GET /health HTTP/1.0\r\nHost: t\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n",
        "GET /health HTTP/1.1\r\nhOST: t\r\nConnection: close\r\nContent-Length: 0\r\n"
        "Content-Length: 0\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: t\r\nX: \t\xc3\xa9\r\nConnection: close\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: Chunked\r\nConnection: close\r\n\r\n"
        "0\r\n\r\n",
    };
    struct fixture f = open_fixture();
    (void)state;
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        struct answer a = say(&f, heads[i]);
        if (a.status != 200 || !a.is_whole) fail_msg("%s: %u", heads[i], a.status);
        answer_free(&a);
    }
    close_fixture(&f);
}

/* Every size up to the library's own limit is answered once: taken, or refused in JSON. */
static void large_heads_are_answered_once(void **state)
{
    static const size_t sizes[] = { 1000, 15000, 17000, 25000, 30000, 32000, 33000, 48000, 64000,
                                    90000 };
    static const char *const names[] = { "Cookie", "X-Large" };
    struct fixture f = open_fixture();
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int k = 0; k < 2; k++) {
            struct strbuf text = { 0 };
            char *value = malloc(sizes[i] + 1);
            memset(value, 'c', sizes[i]);
            value[sizes[i]] = 0;
            strbuf_addf(&text,
                        "GET /health HTTP/1.1\r\nHost: t\r\nConnection: close\r\n%s: a=%s\r\n\r\n",
                        names[k], value);
            struct answer a = tell(&f, text.bytes, text.n);
            strbuf_free(&text);
            free(value);
            if (count(&a, "HTTP/1.1")) fail_msg("%zu bytes of %s: twice", sizes[i], names[k]);
            if (sizes[i] > 32768) {
                expect_error(a, 431, "headers_too_large", "null");
            } else {
                expect_status(&a, 200);
                answer_free(&a);
            }
        }
    struct strbuf text = { 0 };
    strbuf_addf(&text, "GET /");
    for (int i = 0; i < 1000; i++) strbuf_addf(&text, "0123456789");
    strbuf_addf(&text, " HTTP/1.1\r\nHost: t\r\n\r\n");
    expect_error(tell(&f, text.bytes, text.n), 414, "uri_too_long", "null");
    strbuf_free(&text);
    close_fixture(&f);
}

/* ---- bodies --------------------------------------------------------------------------------- */

/* Said from the head alone, and to a client that sends all of it first. */
static void a_body_that_is_too_large_is_refused_before_it_is_read(void **state)
{
    struct server_params params = params_of_test();
    const size_t n = 4 << 20;
    char *body = malloc(n);
    (void)state;
    memset(body, ' ', n);
    params.max_body_bytes = 1024;
    struct fixture f = open_with(&params, 1, 1);
    int fd = http_connect(f.port);
    assert_true(http_begin(fd, "POST", CHAT, "", "", 0, 1025));
    expect_error(http_finish(fd), 413, "body_too_large", "null");
    fd = http_connect(f.port);
    assert_true(http_begin(fd, "POST", CHAT, "Expect: 100-continue\r\n", "", 0, 1 << 30));
    struct answer a = http_finish(fd);
    assert_null(strstr(a.head.bytes, "100 Continue"));
    expect_error(a, 413, "body_too_large", "null");
    for (int i = 0; i < 5; i++)
        expect_error(http_ask(f.port, "POST", CHAT, "", body, n), 413, "body_too_large", "null");
    /* of a route that is none the route is what is wrong */
    fd = http_connect(f.port);
    assert_true(http_begin(fd, "POST", "/nowhere", "", "", 0, 1025));
    expect_error(http_finish(fd), 404, "not_found", "null");
    free(body);
    close_fixture(&f);
}

/* ---- request ids ---------------------------------------------------------------------------- */

static void id_of(const struct answer *a, char *to, size_t capacity)
{
    static const char name[] = "\r\nX-Request-Id: ";
    const char *at = strcasestr(a->head.bytes, name);
    assert_non_null(at);
    snprintf(to, capacity, "%s", at + sizeof name - 1);
    to[strcspn(to, "\r")] = 0;
}

static void every_answer_has_a_request_id(void **state)
{
    static const char *const paths[] = { "/health", "/nowhere", "/v1/models/x", "/metrics" };
    struct fixture f = open_fixture();
    char first[200], second[200], header[600];
    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct answer a = get(&f, paths[i]), b = get(&f, paths[i]);
        id_of(&a, first, sizeof first);
        id_of(&b, second, sizeof second);
        assert_true(strlen(first) > 4 && strcmp(first, second));
        answer_free(&a);
        answer_free(&b);
    }
    struct answer a = chat(&f, "x", ",\"stream\":true");
    id_of(&a, first, sizeof first);
    answer_free(&a);
    a = http_ask(f.port, "GET", "/health", "X-REQUEST-ID: mine-1.2:3\r\n", "", 0);
    id_of(&a, first, sizeof first);
    assert_string_equal(first, "mine-1.2:3");
    answer_free(&a);
    static const char *const bad[] = { "a b", "\xc3\xa9", "a\"b", "<script>", "" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(header, sizeof header, "X-Request-Id: %s\r\n", bad[i]);
        a = http_ask(f.port, "GET", "/health", header, "", 0);
        id_of(&a, first, sizeof first);
        assert_memory_equal(first, "req-", 4);
        answer_free(&a);
    }
    char long_id[301];
    memset(long_id, 'a', 300);
    long_id[300] = 0;
    snprintf(header, sizeof header, "X-Request-Id: %s\r\n", long_id);
    a = http_ask(f.port, "GET", "/health", header, "", 0);
    id_of(&a, first, sizeof first);
    assert_true(strlen(first) <= 128);
    answer_free(&a);
    close_fixture(&f);
}

/* ---- connections ---------------------------------------------------------------------------- */

enum { FEW = 8, MANY = FEW + MAX_SURPLUS + 20 };     /* more than libmicrohttpd takes */

/* Each is answered at once, with a reply or a refusal. */
static bool is_served(const struct fixture *f)
{
    struct answer a = chat(f, "still here", "");
    const unsigned status = a.status;
    assert_true(status == 200 || status == 503);
    answer_free(&a);
    return status == 200;
}

/* Idle connections give their places to new ones, however many come. */
static void idle_connections_make_room(void **state)
{
    static const char *const kinds[] = { "", "GET /health HTTP/1.1\r\nHost: t\r\n\r\n",
                                         "POST " CHAT " HTTP/1.1\r\nHost: t\r\nContent-Le" };
    struct server_params params = params_of_test();
    int fd[MANY];
    (void)state;
    params.max_connections = FEW;       /* and the usual times */
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        struct fixture f = open_with(&params, 4, 4);
        const int busy = begin_chat(&f, "!stuck", "");
        assert_true(comes_true(one_admitted, &f));
        for (int i = 0; i < MANY; i++) {
            fd[i] = http_connect(f.port);
            assert_true(http_write(fd[i], kinds[k], strlen(kinds[k])));
        }
        for (int i = 0; i < 2 * MANY; i++) {
            struct answer a = get(&f, "/health");
            expect_status(&a, 200);
            answer_free(&a);
        }
        assert_true(comes_true(is_served, &f));     /* who is idle for a second makes room */
        struct answer a = get(&f, "/metrics");
        const char *room = strstr(a.body.bytes, "closed_total{reason=\"room\"} ");
        /* where there are too many, those that were answered close with their answers */
        if (k != 1 && (!room || atoi(room + 28) < 1)) fail_msg("kind %zu: %.60s", k, room);
        answer_free(&a);
        assert_true(one_admitted(&f));          /* who is served is not among them */
        for (int i = 0; i < MANY; i++) close(fd[i]);
        close(busy);
        close_fixture(&f);
    }
}

static bool few_admitted(const struct fixture *f)
{
    return fake_n_admitted(f->engine) == FEW;
}

static bool fewer_open(const struct fixture *f)
{
    return fake_n_open(f->engine) == FEW - 1;
}

/* Where all are busy a newcomer is told so, and /health answers. */
static void busy_connections_leave_an_answer_to_new_ones(void **state)
{
    struct server_params params = params_of_test();
    int fd[FEW];
    (void)state;
    params.max_connections = FEW;
    struct fixture f = open_with(&params, 40, 40);
    for (int i = 0; i < FEW; i++) fd[i] = begin_chat(&f, "!stuck", i % 2 ? "" : ",\"stream\":true");
    assert_true(comes_true(few_admitted, &f));
    for (int i = 0; i < 3; i++) {
        expect_error(chat(&f, "x", ""), 503, "too_many_connections", "null");
        struct answer a = get(&f, "/health");
        expect_status(&a, 200);
        answer_free(&a);
    }
    assert_int_equal(fake_n_admitted(f.engine), FEW);
    close(fd[0]);
    assert_true(comes_true(fewer_open, &f));
    struct answer a = get(&f, "/metrics");
    expect_status(&a, 200);
    assert_non_null(strstr(a.body.bytes, "\npaceline_http_connections_refused_total 3\n"));
    answer_free(&a);
    for (int i = 1; i < FEW; i++) close(fd[i]);
    close_fixture(&f);
}

/* Half a head, half a body, and nothing at all: each has its time. */
static void who_takes_too_long_is_cut(void **state)
{
    static const char *const kinds[] = {
        "", "GET /hea", "GET /health HTTP/1.1\r\nHo",
        "POST " CHAT " HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\n{\"messages\"",
    };
    enum { N = sizeof kinds / sizeof *kinds };
    struct server_params params = params_of_test();
    int fd[N];
    (void)state;
    params.head_timeout_s = params.kept_timeout_s = params.body_timeout_s = 3;
    struct fixture f = open_with(&params, 4, 4);
    for (int i = 0; i < N; i++) {
        fd[i] = http_connect(f.port);
        assert_true(http_write(fd[i], kinds[i], strlen(kinds[i])));
    }
    const int busy = begin_chat(&f, "!stuck", ""), kept = http_connect(f.port);
    assert_true(http_write(kept, "GET /nowhere HTTP/1.1\r\nHost: t\r\n\r\n", 34));
    struct answer a = http_finish(kept);
    expect_error(a, 404, "not_found", "null");
    for (int i = 0; i < N; i++) {
        assert_true(ends_at_once(fd[i]));
        close(fd[i]);
    }
    assert_true(one_admitted(&f));
    close(busy);
    close_fixture(&f);
}

/* ---- keys ----------------------------------------------------------------------------------- */

static void keys_are_replaced_while_the_server_runs(void **state)
{
    const char *const before[] = { "one" }, *const after[] = { "two", "three" };
    struct server_params params = params_of_test();
    (void)state;
    params.api_keys = before;
    params.n_api_keys = 1;
    struct fixture f = open_with(&params, 1, 1);
    struct answer a = http_ask(f.port, "GET", "/v1/models", "api-key: one \r\n", "", 0);
    expect_status(&a, 200);
    answer_free(&a);
    assert_true(server_set_keys(f.server, after, 2));
    a = http_ask(f.port, "GET", "/v1/models", "api-key: one\r\n", "", 0);
    expect_error(a, 401, "invalid_api_key", "null");
    a = http_ask(f.port, "GET", "/v1/models", "Authorization: Bearer  three\t \r\n", "", 0);
    expect_status(&a, 200);
    answer_free(&a);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_are_read_in_every_form),
        cmocka_unit_test(absolute_targets_are_served),
        cmocka_unit_test(heads_that_hide_a_request_are_refused),
        cmocka_unit_test(heads_that_are_odd_and_sound_are_served),
        cmocka_unit_test(large_heads_are_answered_once),
        cmocka_unit_test(a_body_that_is_too_large_is_refused_before_it_is_read),
        cmocka_unit_test(every_answer_has_a_request_id),
        cmocka_unit_test(idle_connections_make_room),
        cmocka_unit_test(busy_connections_leave_an_answer_to_new_ones),
        cmocka_unit_test(who_takes_too_long_is_cut),
        cmocka_unit_test(keys_are_replaced_while_the_server_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
