/* What a supervisor is told, message by message: the test is the supervisor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "cli/serve/supervisor.h"
#include "unit/cli/captured.h"
#include "unit/open_fds.h"

static char path[64];
static int listening = -1;
static struct captured out;

/* A socket of that path, or, with @, of that abstract name; NOTIFY_SOCKET says so. */
static void listen_at(const char *name)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    listening = socket(AF_UNIX, SOCK_DGRAM, 0);
    memcpy(at.sun_path, name, strlen(name));
    if (*name == '@') at.sun_path[0] = 0;
    assert_int_equal(bind(listening, (const struct sockaddr *)&at,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name) +
                                      (*name == '/'))), 0);
    setenv("NOTIFY_SOCKET", name, 1);
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

static int begin(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/paceline_notify_%ld", (long)getpid());
    listen_at(path);
    return 0;
}

static int end(void **state)
{
    (void)state;
    close(listening);
    return unlink(path);
}

/* "": nothing was sent. */
static void check_told(const char *wanted)
{
    char message[1024];
    const ssize_t n = recv(listening, message, sizeof message - 1, MSG_DONTWAIT);
    message[n < 0 ? 0 : n] = 0;
    assert_string_equal(message, wanted);
}

static void a_life(void **state)
{
    struct supervisor s;
    char text[600];
    (void)state;
    supervisor_open(&s);
    supervisor_status(&s, "loading\nREADY=1");
    check_told("STATUS=loading");
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    supervisor_status(&s, text);
    text[511 - strlen("STATUS=")] = 0;
    char wanted[sizeof text + 8] = "STATUS=";
    check_told(strcat(wanted, text));
    supervisor_ready(&s, "serving\nmore");
    check_told("READY=1\nSTATUS=serving");
    assert_true(supervisor_wait_ns(&s) == UINT64_MAX);          /* it does not watch */
    supervisor_watch(&s, true);
    check_told("");
    supervisor_stopping(&s);
    check_told("STOPPING=1\nSTATUS=running requests finish");
    supervisor_close(&s);
    supervisor_status(&s, "late");
    check_told("");
}

static void a_watchdog(void **state)
{
    const uint64_t second_ns = 1000000000;
    struct supervisor s;
    (void)state;
    setenv("WATCHDOG_USEC", "3000000000", 1);
    supervisor_open(&s);
    assert_true(supervisor_wait_ns(&s) == UINT64_MAX);          /* not before it serves */
    supervisor_ready(&s, "");
    check_told("READY=1\nSTATUS=");
    assert_true(s.watchdog_ns == 3000 * second_ns && supervisor_wait_ns(&s) == 0);
    supervisor_watch(&s, true);
    check_told("WATCHDOG=1");
    const uint64_t wait = supervisor_wait_ns(&s);              /* a third of it, less what passed */
    assert_true(wait <= 1000 * second_ns && wait > 400 * second_ns);
    supervisor_watch(&s, true);
    check_told("");
    s.next_sign_ns = clock_ns() - 1;
    supervisor_watch(&s, false);
    check_told("STATUS=the engine makes no progress");
    assert_true(supervisor_wait_ns(&s) > 400 * second_ns);
    supervisor_close(&s);
}

/* The time within which it wants a sign, by what the environment says. */
static uint64_t watch_of(const char *time, const char *pid)
{
    struct supervisor s;
    char message[64];
    setenv("WATCHDOG_USEC", time, 1);
    if (pid) setenv("WATCHDOG_PID", pid, 1);
    else unsetenv("WATCHDOG_PID");
    supervisor_open(&s);
    supervisor_ready(&s, "");
    recv(listening, message, sizeof message, MSG_DONTWAIT);
    const uint64_t ns = s.watchdog_ns;
    supervisor_close(&s);
    return ns;
}

static void whose_watchdog_it_is(void **state)
{
    char pid[32];
    (void)state;
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    assert_true(watch_of("5", NULL) == 5000 && watch_of("5", pid) == 5000);
    assert_true(watch_of("1", pid) == 1000);
    assert_true(watch_of("5", "1") == 0);
    assert_true(watch_of("0", NULL) == 0 && watch_of("5x", NULL) == 0 && watch_of("", NULL) == 0);
    assert_true(watch_of("18446744073709551", NULL) == 0);      /* no such time in nanoseconds */
    assert_true(watch_of("18446744073709550", NULL) == UINT64_C(18446744073709550000));
}

#ifdef __linux__
static void an_abstract_name(void **state)
{
    char name[64];
    struct supervisor s;
    (void)state;
    close(listening);
    snprintf(name, sizeof name, "@paceline-test-%ld", (long)getpid());
    listen_at(name);
    supervisor_open(&s);
    supervisor_status(&s, "here");
    check_told("STATUS=here");
    supervisor_close(&s);
}
#endif

/* What NOTIFY_SOCKET names when nobody listens there: said once, and then nothing is done. */
static void nobody_listens(void **state)
{
    static const char *const names[] = { "/nowhere/notify", "relative", "@", "/", "" };
    char wanted[256], longest[200] = "/";
    struct supervisor s;
    (void)state;
    memset(longest + 1, 'x', sizeof longest - 2);
    for (size_t i = 0; i <= sizeof names / sizeof *names; i++) {
        const char *name = i < sizeof names / sizeof *names ? names[i] : longest;
        setenv("NOTIFY_SOCKET", name, 1);
        captured_begin(&out, STDERR_FILENO);
        supervisor_open(&s);
        captured_end(&out);
        snprintf(wanted, sizeof wanted, "paceline: warning: NOTIFY_SOCKET=%s cannot be reached: ",
                 name);
        assert_int_equal(strncmp(out.text, wanted, strlen(wanted)), 0);
        assert_int_equal(s.fd, -1);
        supervisor_ready(&s, "x");
        supervisor_watch(&s, true);
        supervisor_close(&s);
    }
    unsetenv("NOTIFY_SOCKET");
    captured_begin(&out, STDERR_FILENO);
    supervisor_open(&s);
    assert_string_equal(captured_end(&out), "");
    assert_int_equal(s.fd, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_life, begin, end),
        cmocka_unit_test_setup_teardown(a_watchdog, begin, end),
        cmocka_unit_test_setup_teardown(whose_watchdog_it_is, begin, end),
#ifdef __linux__
        cmocka_unit_test_setup_teardown(an_abstract_name, begin, end),
#endif
        cmocka_unit_test_setup_teardown(nobody_listens, begin, end),
    };
    const int n_open = n_open_fds(), failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed || n_open_fds() != n_open;     /* what was opened was closed */
}
