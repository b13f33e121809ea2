/* paceline top: servers watched in the terminal. */
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "cli/top/fetch.h"
#include "cli/top/screen.h"
#include "cli/top/view.h"

enum { ONCE_COLUMNS = 120, MAX_WAIT_MS = 250 };

struct top {
    struct top_server *server;      /* (n) */
    size_t n;
    struct top_fetch *fetch;
    struct host *host;
    struct host_figures host_figures;
    struct top_view view;
    struct frame *frame;
    double interval_s;
};

static volatile sig_atomic_t is_stopped;

static void on_stop(int number)
{
    (void)number;
    is_stopped = 1;
}

/* Of a round's end: the machine is read as often as the servers are. */
static void tick(struct top *t)
{
    host_read(t->host, clock_ns(), &t->host_figures);
    top_fetch_begin(t->fetch);
}

static void wait_until(struct top *t, uint64_t until_ns)
{
    while (!is_stopped && clock_ns() < until_ns)
        top_fetch_wait(t->fetch, -1, (int)((until_ns - clock_ns()) / 1000000 + 1));
}

/* Two rounds, an interval apart: rates are of the time between. */
static int once(struct top *t)
{
    bool is_all_up = true;
    for (int round = 0; round < 2 && !is_stopped; round++) {
        const uint64_t next_ns = clock_ns() + (uint64_t)(t->interval_s * 1e9);
        tick(t);
        while (top_fetch_n_open(t->fetch) && !is_stopped)
            top_fetch_wait(t->fetch, -1, MAX_WAIT_MS);
        if (round == 0) wait_until(t, next_ns);
    }
    t->frame->max_lines = FRAME_MAX_LINES;
    t->frame->columns = ONCE_COLUMNS;
    t->frame->is_utf8 = false;
    t->view.now_ns = clock_ns();
    top_view_all(&t->view, t->frame);
    for (size_t i = 0; i < t->frame->n; i++) puts(t->frame->line[i].text);
    for (size_t i = 0; i < t->n; i++) is_all_up &= t->server[i].state == TOP_UP;
    return is_all_up ? 0 : 1;
}

static void show(struct top *t)
{
    char clock[16];
    const time_t now = time(NULL);
    struct tm local;
    localtime_r(&now, &local);
    strftime(clock, sizeof clock, "%H:%M:%S", &local);
    t->view.clock = clock;
    t->view.now_ns = clock_ns();
    top_screen_begin(t->frame);
    top_view_screen(&t->view, t->frame);
    top_screen_show(t->frame);
}

/* False: the key ends the program. */
static bool take_keys(struct top *t)
{
    for (;;) {
        switch (top_screen_key()) {
        case TOP_KEY_NONE:
            return true;
        case TOP_KEY_QUIT:
            return false;
        case TOP_KEY_NEXT:
            t->view.selected = (t->view.selected + 1) % t->n;
            break;
        case TOP_KEY_BACK:
            t->view.selected = (t->view.selected + t->n - 1) % t->n;
            break;
        case TOP_KEY_PAUSE:
            t->view.is_paused = !t->view.is_paused;
            break;
        case TOP_KEY_RESIZE:
            break;
        }
        show(t);
    }
}

static int watch(struct top *t)
{
    pl_err err = { 0 };
    if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO)) {
        fputs("paceline: top needs a terminal; --once prints one frame without\n", stderr);
        return 2;
    }
    if (top_screen_open(terminal_has_colours(stdout), &err)) return cli_fail(&err);
    uint64_t next_ns = clock_ns();
    while (!is_stopped && take_keys(t)) {
        const uint64_t now_ns = clock_ns();
        if (now_ns >= next_ns) {
            if (!t->view.is_paused) tick(t);
            next_ns = now_ns + (uint64_t)(t->interval_s * 1e9);
            show(t);
        }
        const int left_ms = (int)((next_ns - now_ns) / 1000000 + 1);
        if (top_fetch_wait(t->fetch, STDIN_FILENO, left_ms < MAX_WAIT_MS ? left_ms : MAX_WAIT_MS) &&
            !t->view.is_paused)
            show(t);
    }
    top_screen_close();
    return 0;
}

static int run(struct top *t, const struct client *client, bool is_once, bool may_run_powermetrics)
{
    pl_err err = { 0 };
    const struct sigaction stop = { .sa_handler = on_stop };
    t->frame = calloc(1, sizeof *t->frame);
    t->host = host_open(may_run_powermetrics);
    int code = 1;
    if (!t->frame || !t->host) fputs("paceline: out of memory\n", stderr);
    else if (top_fetch_open(&t->fetch, t->server, t->n, client, &err)) code = cli_fail(&err);
    else {
        t->view = (struct top_view){ .server = t->server, .n_servers = t->n,
                                     .host = &t->host_figures, .interval_s = t->interval_s };
        sigaction(SIGTERM, &stop, NULL);
        sigaction(SIGINT, &stop, NULL);
        code = is_once ? once(t) : watch(t);
    }
    top_fetch_close(t->fetch);
    host_close(t->host);
    free(t->frame);
    return code;
}

int cmd_top(int argc, char **argv)
{
    struct top t = { 0 };
    struct arg_strings urls = { 0 };
    struct client client = { .key = "" };
    float interval_s = 1;
    bool is_once = false, may_run_powermetrics = false;
    const struct arg table[] = {
        { "--interval", "-i", ARG_F32, &interval_s, 0.1, 3600, "S", "seconds between looks (1)" },
        CLIENT_ARGS(&client),
        { "--once", NULL, ARG_FLAG, &is_once, 0, 0, NULL,
          "print one frame as plain text; exit code 1 where a server is down" },
        { "--powermetrics", NULL, ARG_FLAG, &may_run_powermetrics, 0, 0, NULL,
          "macOS: run powermetrics through sudo -n where nothing else tells watts" },
    };
    const struct arg_page page = {
        "top", "[URL...] [OPTIONS]",
        "Watches servers: throughput, slots, queue, memory, latencies, rejected requests; and the "
        "machine, of servers that run on it. Without URL: http://127.0.0.1:8080. Reads /metrics "
        "and /slots of paceline, and what it can of vLLM and llama-server.",
        "paceline top\n"
        "paceline top http://mini.local:8080 http://studio.local:8080\n"
        "paceline top https://mini.local:8443 --cacert ca.pem --api-key-file key.txt\n"
        "paceline top --once --interval 5", table, N_ARGS(table)
    };
    const int code = args_parse(&page, argc, argv, &urls, NULL);
    if (code >= 0) return code;
    pl_err err;
    if (client_open(&client, &err)) return cli_fail(&err);
    if (!urls.n) urls.text[urls.n++] = "http://127.0.0.1:8080";
    setlocale(LC_CTYPE, "");        /* of characters alone: numbers keep their point */
    t.interval_s = (double)interval_s;
    t.n = urls.n;
    t.server = calloc(t.n, sizeof *t.server);
    if (!t.server) {
        fputs("paceline: out of memory\n", stderr);
        return 1;
    }
    int result = 0;
    for (size_t i = 0; i < t.n && !result; i++)
        if (!top_server_init(&t.server[i], urls.text[i])) {
            fprintf(stderr, "paceline: an address of at most %zu bytes is wanted: %.60s...\n",
                    sizeof t.server->url - 9, urls.text[i]);
            result = 2;
        }
    if (!result) result = run(&t, &client, is_once, may_run_powermetrics);
    free(t.server);
    return result;
}
