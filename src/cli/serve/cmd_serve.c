/* paceline serve: the server's life from the command line. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/status.h"
#include "cli/cli.h"
#include "cli/context.h"
#include "cli/load_progress.h"
#include "cli/serve/find_model.h"
#include "cli/serve/keys.h"
#include "cli/serve/open_files.h"
#include "cli/serve/options.h"
#include "cli/serve/power_assertion.h"
#include "cli/serve/supervisor.h"
#include "cli/serve/tell.h"
#include "server/server.h"

struct serve {
    struct serve_options o;
    struct supervisor supervisor;
    FILE *log_file;                 /* NULL: none */
    struct serve_keys keys;
    char *template_text;
};

static volatile sig_atomic_t stop_signals, reload_signals, is_loading;

enum { LOAD_ENDS_WITHIN_S = 1 };

/* While the model loads there is nothing to finish. Loading looks at stop_signals now and then;
 * where it is in a phase that does not, the process ends a moment later, and at a second signal at
 * once. */
static void on_stop(int number)
{
    (void)number;
    if (is_loading && stop_signals) _exit(0);
    if (is_loading) alarm(LOAD_ENDS_WITHIN_S);
    stop_signals++;
}

static void on_alarm(int number)
{
    (void)number;
    if (is_loading) _exit(0);
}

/* A terminal that closes says this too, and rotated logs: it must not end the server. */
static void on_reload(int number)
{
    (void)number;
    reload_signals = 1;
}

static bool read_files(struct serve *s)
{
    size_t n;
    if (s->o.template_file) {
        s->template_text = cli_read_all(s->o.template_file, &n);
        if (!s->template_text) return false;
        s->o.params.chat_template = s->template_text;
    }
    if (!serve_keys_read(&s->keys, &s->o)) return false;
    s->o.server.api_keys = s->keys.key;
    s->o.server.n_api_keys = s->keys.n;
    return true;
}

/* A file that cannot be read leaves the keys as they are: nobody is locked out by a slip. */
static void reload_keys(struct serve *s, struct server *server)
{
    if (!s->o.api_key_file) return;
    if (!serve_keys_read(&s->keys, &s->o) || !server_set_keys(server, s->keys.key, s->keys.n))
        fprintf(stderr, "paceline: the API keys stay as they were\n");
    else if (!s->o.is_quiet)
        fprintf(stderr, "API keys   %zu, read again from %s\n", s->keys.n, s->o.api_key_file);
}

static void tell_start(const struct serve *s, const struct server *server, const pl_plan *plan)
{
    if (s->log_file) serve_tell_start(s->log_file, &s->o, plan, server_port(server));
    if (!s->o.is_quiet) serve_tell_start(stderr, &s->o, plan, server_port(server));
}

static void tell_ready(struct serve *s, const struct server *server, const pl_plan *plan)
{
    char text[320];
    snprintf(text, sizeof text, "serving %.200s: %u streams of %u tokens, port %u",
             plan->model_name, plan->n_streams, plan->ctx_tokens, server_port(server));
    supervisor_ready(&s->supervisor, text);
}

/* Until a signal asks to stop; one asks for the keys to be read again. The supervisor, if there is
 * one, is told meanwhile that all is well. */
static void wait_for_signal(struct serve *s, struct server *server, pl_engine *engine)
{
    sigset_t signals, before;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    /* blocked between the look and the wait, so that no signal is lost in between */
    pthread_sigmask(SIG_BLOCK, &signals, &before);
    while (!stop_signals) {
        if (reload_signals) {
            reload_signals = 0;
            reload_keys(s, server);
        }
        const uint64_t wait_ns = supervisor_wait_ns(&s->supervisor);
        const struct timespec wait = { .tv_sec = (time_t)(wait_ns / 1000000000u),
                                       .tv_nsec = (long)(wait_ns % 1000000000u) };
        pselect(0, NULL, NULL, NULL, wait_ns == UINT64_MAX ? NULL : &wait, &before);
        supervisor_watch(&s->supervisor, pl_is_healthy(engine));
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* What runs may finish within the grace time, or until another signal. */
static void let_finish(struct serve *s, struct server *server)
{
    const int seen = stop_signals;
    supervisor_stopping(&s->supervisor);
    server_drain(server);
    if (!s->o.is_quiet && server_n_active(server))
        fprintf(stderr, "stopping: %u requests may finish within %u s\n", server_n_active(server),
                s->o.grace_s);
    for (uint32_t ms = 0;
         ms < s->o.grace_s * 1000 && server_n_active(server) && stop_signals == seen;
         ms += 20)
        clock_sleep_ms(20);
    clock_sleep_ms(50);       /* answers that are finished leave the sockets */
}

static void take_signals(void)
{
    const struct sigaction stop = { .sa_handler = on_stop }, reload = { .sa_handler = on_reload };
    const struct sigaction late = { .sa_handler = on_alarm };
    is_loading = 1;
    sigaction(SIGALRM, &late, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGHUP, &reload, NULL);
    signal(SIGPIPE, SIG_IGN);
}

struct loading {
    struct serve *serve;
    struct server *server;
    unsigned tenth;             /* the last one that the supervisor was told of */
};

static bool go_on_loading(void *arg, float fraction)
{
    struct loading *l = arg;
    const unsigned tenth = (unsigned)(fraction * 10);
    char text[48];
    server_tell_loading(l->server, fraction);
    if (tenth > l->tenth) {
        l->tenth = tenth;
        snprintf(text, sizeof text, "loading the model: %u %%", 10 * tenth);
        supervisor_status(&l->serve->supervisor, text);
    }
    return !stop_signals;
}

/* A signal ends it: nothing is served yet that could be finished. */
static pl_status load(struct serve *s, struct server *server, pl_engine **engine, pl_err *err)
{
    struct load_progress progress;
    struct loading loading = { s, server, 0 };
    load_progress_begin(&progress, &s->o.params, s->o.is_quiet ? NULL : stderr, go_on_loading,
                        &loading);
    const pl_status st = pl_open(engine, &s->o.params, err);
    load_progress_end(&progress);
    is_loading = 0;
    alarm(0);
    return st;
}

static int serve(struct serve *s)
{
    struct server *server = NULL;
    pl_engine *engine = NULL;
    pl_err err = { 0 };

    take_signals();
    supervisor_open(&s->supervisor);
    supervisor_status(&s->supervisor, "loading the model");
    pl_status st = context_choose(&s->o.params, 0, &err);
    if (!st) st = server_open(&server, &s->o.server, &err);
    if (!st) st = load(s, server, &engine, &err);
    if (!st) {
        server_ready(server, engine);       /* first: who reads "listening" may ask at once */
        tell_start(s, server, pl_engine_plan(engine));
        tell_ready(s, server, pl_engine_plan(engine));
        power_assertion_hold();
        wait_for_signal(s, server, engine);
        let_finish(s, server);
        power_assertion_release();
    }
    server_close(server);
    pl_close(engine);
    if (st) supervisor_status(&s->supervisor, err.text);
    supervisor_close(&s->supervisor);
    if (st != PL_E_CANCELLED) return st ? cli_fail(&err) : 0;
    if (!s->o.is_quiet) fprintf(stderr, "stopped while the model was being loaded\n");
    return 0;
}

/* Added to, line by line, and private: it may name clients. */
static pl_status open_log(struct serve *s, pl_err *err)
{
    cli_log_to_stderr(s->o.is_verbose);
    if (!s->o.log_file) return PL_OK;
    const int fd = open(s->o.log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    s->log_file = fd < 0 ? NULL : fdopen(fd, "a");
    if (!s->log_file)
        return pl_fail(err, PL_E_PARAM, "--log-file %s: %s", s->o.log_file, strerror(errno));
    setvbuf(s->log_file, NULL, _IOLBF, BUFSIZ);
    cli_log_also_to(s->log_file);
    return PL_OK;
}

int cmd_serve(int argc, char **argv)
{
    struct serve s = { .template_text = NULL };
    const int code = serve_options_parse(&s.o, argc, argv);
    if (code >= 0) return code;
    pl_err err;
    if (open_log(&s, &err) || serve_find_model(&s.o, &err)) return cli_fail(&err);
    s.o.server.model_path = s.o.params.model_path;
    s.o.server.max_connections = open_files_for(s.o.server.max_connections);
    const int result = read_files(&s) ? serve(&s) : 1;
    free(s.template_text);
    serve_keys_free(&s.keys);
    return result;
}
