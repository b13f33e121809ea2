/* paceline serve: the server's life from the command line. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/models/models.h"
#include "cli/serve/options.h"
#include "cli/serve/power_assertion.h"
#include "server/server.h"

struct serve {
    struct serve_options o;
    char *template_text, *key_text;
    const char *keys[2 * ARG_MAX_STRINGS];
};

static volatile sig_atomic_t stop_signals;

static void on_stop(int number)
{
    (void)number;
    stop_signals++;
}

/* Commas inside one --api-key and lines of a file both separate keys. */
static void split_keys(struct serve *s, char *text, const char *separators)
{
    const size_t max = sizeof s->keys / sizeof *s->keys;
    char *rest;
    for (char *key = strtok_r(text, separators, &rest); key && s->o.server.n_api_keys < max;
         key = strtok_r(NULL, separators, &rest))
        s->keys[s->o.server.n_api_keys++] = key;
}

static bool read_files(struct serve *s)
{
    size_t n;
    if (s->o.template_file) {
        s->template_text = cli_read_all(s->o.template_file, &n);
        if (!s->template_text) return false;
        s->o.params.chat_template = s->template_text;
    }
    if (s->o.api_key_file) {
        s->key_text = cli_read_all(s->o.api_key_file, &n);
        if (!s->key_text) return false;
        split_keys(s, s->key_text, "\r\n");
        if (!s->o.server.n_api_keys) {
            fprintf(stderr, "paceline: %s: holds no key\n", s->o.api_key_file);
            return false;
        }
    }
    for (size_t i = 0; i < s->o.api_keys.n; i++)
        split_keys(s, (char *)(uintptr_t)s->o.api_keys.text[i], ",");
    s->o.server.api_keys = s->keys;
    return true;
}

static void tell_start(const struct serve *s, const struct server *server, const pl_plan *plan)
{
    if (s->o.is_quiet) return;
    cli_print_plan(stderr, plan);
    if (s->o.params.n_threads > plan->n_threads)
        fprintf(stderr, "threads    %u asked for, %u used: one per core\n", s->o.params.n_threads,
                plan->n_threads);
    for (size_t i = 0; i < s->o.always.n; i++)
        fprintf(stderr, "accepted   %s: see --help\n", s->o.always.text[i]);
    fprintf(stderr, "context    %u tokens for each of %u streams\n", plan->ctx_tokens,
            plan->n_streams);
    fprintf(stderr, "listening  http://%s:%u\n", s->o.server.host, server_port(server));
}

/* Until a signal asks to stop; then what runs may finish within the grace time, or until a second
 * signal. */
static void wait_for_stop(const struct serve *s, struct server *server)
{
    sigset_t stops, before;
    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    sigaddset(&stops, SIGINT);
    /* blocked between the look and the wait, so that no signal is lost in between */
    pthread_sigmask(SIG_BLOCK, &stops, &before);
    while (!stop_signals) sigsuspend(&before);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    const int seen = stop_signals;
    server_drain(server);
    if (!s->o.is_quiet && server_n_active(server))
        fprintf(stderr, "stopping: %u requests may finish within %u s\n", server_n_active(server),
                s->o.grace_s);
    for (uint32_t ms = 0; ms < s->o.grace_s * 1000 && server_n_active(server) && stop_signals == seen;
         ms += 20)
        clock_sleep_ms(20);
    clock_sleep_ms(50);       /* answers that are finished leave the sockets */
}

static int serve(struct serve *s)
{
    struct server *server = NULL;
    pl_engine *engine = NULL;
    pl_err err = { 0 };
    const struct sigaction stop = { .sa_handler = on_stop };

    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    signal(SIGPIPE, SIG_IGN);
    pl_status st = server_open(&server, &s->o.server, &err);
    if (!st) st = pl_open(&engine, &s->o.params, &err);
    if (!st) {
        tell_start(s, server, pl_engine_plan(engine));
        server_ready(server, engine);
        power_assertion_hold();
        wait_for_stop(s, server);
        power_assertion_release();
    }
    server_close(server);
    pl_close(engine);
    return st ? cli_fail(&err) : 0;
}

int cmd_serve(int argc, char **argv)
{
    struct serve s = { .key_text = NULL };
    const int code = serve_options_parse(&s.o, argc, argv);
    if (code >= 0) return code;
    cli_log_to_stderr(s.o.is_verbose);
    pl_err err;
    if (models_resolve(&s.o.params.model_path, s.o.dir, &err)) return cli_fail(&err);
    s.o.server.model_path = s.o.params.model_path;
    const int result = read_files(&s) ? serve(&s) : 1;
    free(s.template_text);
    free(s.key_text);
    return result;
}
