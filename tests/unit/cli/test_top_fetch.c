/* Rounds of questions to a server of our own: what it answers, refuses and leaves out. */
#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "cli/top/fetch.h"
#include "unit/open_fds.h"

#define METRICS "paceline_slots 2\npaceline_reply_tokens_total 5\n"
#define SLOTS "[{\"id\":0,\"is_processing\":true},{\"id\":1}]"

static struct {
    int fd;
    pthread_t thread;
    char url[64], asked[4096];          /* the heads of what was asked since the last round */
    const char *metrics, *slots;        /* whole replies */
} server;

static void *serve(void *unused)
{
    (void)unused;
    for (;;) {
        char head[2048];
        size_t n = 0;
        const int client = accept(server.fd, NULL, NULL);
        if (client < 0) return NULL;
        for (ssize_t got;
             n < sizeof head - 1 && (got = read(client, head + n, sizeof head - 1 - n)) > 0;) {
            n += (size_t)got;
            head[n] = 0;
            if (strstr(head, "\r\n\r\n")) break;
        }
        strncat(server.asked, head, sizeof server.asked - strlen(server.asked) - 1);
        const char *reply = strstr(head, "GET /slots") ? server.slots : server.metrics;
        if (write(client, reply, strlen(reply)) < 0) return NULL;
        close(client);
    }
}

static int begin(void **state)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t n = sizeof at;
    (void)state;
    server.fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(server.fd, (struct sockaddr *)&at, sizeof at) || listen(server.fd, 16) ||
        getsockname(server.fd, (struct sockaddr *)&at, &n))
        return -1;
    snprintf(server.url, sizeof server.url, "127.0.0.1:%u/", ntohs(at.sin_port));
    return pthread_create(&server.thread, NULL, serve, NULL);
}

static int end(void **state)
{
    (void)state;
    shutdown(server.fd, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    return close(server.fd);
}

/* A round to its end; how often it was said that an answer is complete. */
static int ask(struct top_fetch *f, const char *metrics, const char *slots)
{
    int n_complete = 0;
    server.metrics = metrics;
    server.slots = slots;
    server.asked[0] = 0;
    top_fetch_begin(f);
    top_fetch_begin(f);                 /* what is open already is not asked twice */
    for (int i = 0; i < 1000 && top_fetch_n_open(f); i++) n_complete += top_fetch_wait(f, -1, 100);
    assert_int_equal(top_fetch_n_open(f), 0);
    return n_complete;
}

static void answers(void **state)
{
    static const char refused[] = "HTTP/1.0 401 No\r\n\r\n{\"error\":{\"message\":\"no key\"}}";
    struct top_server s;
    struct top_fetch *f;
    struct client client = { .key = "secret" };
    pl_err err;
    (void)state;
    assert_true(top_server_init(&s, server.url));
    assert_int_equal(top_fetch_open(&f, &s, 1, &client, &err), PL_OK);
    assert_int_equal(ask(f, "HTTP/1.0 200 OK\r\n\r\n" METRICS, "HTTP/1.0 200 OK\r\n\r\n" SLOTS), 1);
    assert_true(s.state == TOP_UP && s.is_local && s.slots.n == 2 && s.slots.slot[0].is_busy);
    assert_true(top_server_now(&s)->reply_tokens == 5);
    assert_non_null(strstr(server.asked, "GET /metrics HTTP/1.1\r\n"));
    assert_non_null(strstr(server.asked, "\r\nAuthorization: Bearer secret\r\n"));
    assert_non_null(strstr(server.asked, "\r\nUser-Agent: paceline-top/"));
    ask(f, "HTTP/1.0 200 OK\r\n\r\n" METRICS, "HTTP/1.0 404 No\r\n\r\n" SLOTS);
    assert_true(s.state == TOP_UP && s.slots.n == 0);
    ask(f, "HTTP/1.0 200 OK\r\n\r\n" METRICS, "HTTP/1.0 200 OK\r\n\r\n");
    assert_true(s.state == TOP_UP && s.slots.n == 0);
    ask(f, refused, "HTTP/1.0 200 OK\r\n\r\n" SLOTS);
    assert_int_equal(s.state, TOP_REFUSES);
    assert_string_equal(s.why, "/metrics answers 401: no key");
    ask(f, "HTTP/1.0 503 No\r\n\r\nsorry", "HTTP/1.0 200 OK\r\n\r\n" SLOTS);
    assert_string_equal(s.why, "/metrics answers 503");
    ask(f, "HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n" SLOTS);
    assert_string_equal(s.why, "/metrics has no names that are known here");
    ask(f, "", "HTTP/1.0 200 OK\r\n\r\n" SLOTS);
    assert_int_equal(s.state, TOP_DOWN);
    assert_string_equal(s.why, "Empty reply from server");
    top_fetch_begin(f);                 /* closed in the middle of a round */
    top_fetch_close(f);
    top_fetch_close(NULL);
}

/* Several servers, one of which is not there; no key is sent where there is none. */
static void several_servers(void **state)
{
    struct top_server s[2];
    struct top_fetch *f;
    struct client client = { .key = "" };
    pl_err err;
    (void)state;
    assert_true(top_server_init(&s[0], "http://127.0.0.1:1") && top_server_init(&s[1], server.url));
    assert_int_equal(top_fetch_open(&f, s, 2, &client, &err), PL_OK);
    assert_in_range(ask(f, "HTTP/1.0 200 OK\r\n\r\n" METRICS, "HTTP/1.0 200 OK\r\n\r\n" SLOTS), 1,
                    2);
    assert_int_equal(s[0].state, TOP_DOWN);
    assert_non_null(strstr(s[0].why, "127.0.0.1"));
    assert_int_equal(s[1].state, TOP_UP);
    assert_null(strstr(server.asked, "Authorization"));
    top_fetch_close(f);
}

/* A wait ends when its time is up, or when a byte can be read. */
static void waiting(void **state)
{
    struct top_server s;
    struct top_fetch *f;
    struct client client = { .key = "" };
    pl_err err;
    int ends[2];
    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_true(top_server_init(&s, server.url));
    assert_int_equal(top_fetch_open(&f, &s, 1, &client, &err), PL_OK);
    const uint64_t start_ns = clock_ns();
    assert_false(top_fetch_wait(f, ends[0], 20));
    assert_true(clock_ns() - start_ns >= 19 * UINT64_C(1000000));
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_false(top_fetch_wait(f, ends[0], 600000));
    assert_true(clock_ns() - start_ns < 500 * UINT64_C(1000000000));
    top_fetch_close(f);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers, begin, end),
        cmocka_unit_test_setup_teardown(several_servers, begin, end),
        cmocka_unit_test_setup_teardown(waiting, begin, end),
    };
    signal(SIGPIPE, SIG_IGN);
    const int n_open = n_open_fds(), failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed || n_open_fds() != n_open;     /* what was opened was closed */
}
