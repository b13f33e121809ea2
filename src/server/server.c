/* The daemon's life: listening, stopping. */
#include "server/server.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/status.h"
#include "server/exchange.h"

enum {
    DEFAULT_MAX_BODY = 16 << 20,
    LARGEST_BODIES = 16,            /* so many of the largest may be in memory at once */
    DEFAULT_MAX_CONNECTIONS = 1024,
    IDLE_TIMEOUT_S = 300,
    END_ROUNDS = 200,               /* of 10 ms: how long ended replies may take to leave */
};

static pl_status find_address(const struct server_params *p, struct addrinfo **out, pl_err *err)
{
    char port[8];
    const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
                                    .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
    const char *host = p->host ? p->host : "127.0.0.1";
    snprintf(port, sizeof port, "%u", p->port);
    const int code = getaddrinfo(host, port, &hints, out);
    if (code)
        return pl_fail(err, PL_E_PARAM, "cannot listen on %s: %s", host, gai_strerror(code));
    return PL_OK;
}

/* "::" is every address of both protocols, as with other servers. */
static bool is_any_ipv6(const struct addrinfo *a)
{
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)a->ai_addr;
    return !memcmp(&in6->sin6_addr, &in6addr_any, sizeof in6addr_any);
}

static pl_status start_daemon(struct server *s, const struct server_params *p, pl_err *err)
{
    struct addrinfo *address;
    pl_status st = find_address(p, &address, err);
    if (st) return st;
    unsigned flags = MHD_USE_AUTO_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME;
    if (address->ai_family == AF_INET6) flags |= is_any_ipv6(address) ? MHD_USE_DUAL_STACK
                                                                      : MHD_USE_IPv6;
    /* MHD_OPTION_LISTENING_ADDRESS_REUSE would let two servers share the port unnoticed; a port
     * that waits after its last owner is taken without it. */
    errno = 0;
    s->daemon = MHD_start_daemon(
        flags, p->port, NULL, NULL, exchange_handler(), s, MHD_OPTION_SOCK_ADDR, address->ai_addr,
        MHD_OPTION_NOTIFY_COMPLETED, exchange_completed_handler(), NULL,
        MHD_OPTION_CONNECTION_LIMIT,
        p->max_connections ? p->max_connections : DEFAULT_MAX_CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_TIMEOUT_S,
        MHD_OPTION_LISTEN_BACKLOG_SIZE, 1024u, MHD_OPTION_END);
    if (!s->daemon)
        st = pl_fail(err, PL_E_IO, "cannot listen on %s port %u: %s",
                     p->host ? p->host : "127.0.0.1", p->port,
                     errno ? strerror(errno) : "the server did not start");
    freeaddrinfo(address);
    if (st) return st;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT);
    s->port = info ? info->port : p->port;
    return PL_OK;
}

static bool copy_text(char **to, const char *from)
{
    *to = from ? strdup(from) : NULL;
    return !from || *to;
}

static pl_status copy_params(struct server *s, const struct server_params *p, pl_err *err)
{
    const char *slash = p->model_path ? strrchr(p->model_path, '/') : NULL;
    bool is_ok = copy_text(&s->alias, p->alias) && copy_text(&s->model_path, p->model_path) &&
                 copy_text(&s->file_name, slash ? slash + 1 : p->model_path) &&
                 copy_text(&s->cors_origin, p->cors_origin);
    s->api_keys = calloc(p->n_api_keys + 1, sizeof *s->api_keys);
    for (; is_ok && s->api_keys && s->n_api_keys < p->n_api_keys; s->n_api_keys++)
        is_ok = copy_text(&s->api_keys[s->n_api_keys], p->api_keys[s->n_api_keys]);
    if (!is_ok || !s->api_keys) return pl_fail(err, PL_E_MEMORY, "out of memory");
    s->max_body_bytes = p->max_body_bytes ? p->max_body_bytes : DEFAULT_MAX_BODY;
    s->max_bodies_bytes = LARGEST_BODIES * s->max_body_bytes;
    s->sampling = p->sampling;
    s->max_tokens = p->max_tokens;
    s->ping_interval_s = p->ping_interval_s;
    s->no_metrics = p->no_metrics;
    s->no_slots = p->no_slots;
    s->has_vllm_metrics = p->has_vllm_metrics;
    s->no_prefix_cache = p->no_prefix_cache;
    return PL_OK;
}

/* Signals are the main thread's: none of the threads started here takes them. */
static pl_status start_threads(struct server *s, const struct server_params *params, pl_err *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pl_status st = watcher_open(s, err);
    if (!st) st = preparer_open(s, err);
    if (!st) st = start_daemon(s, params, err);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return st;
}

pl_status server_open(struct server **out, const struct server_params *params, pl_err *err)
{
    *out = NULL;
    struct server *s = calloc(1, sizeof *s);
    if (!s) return pl_fail(err, PL_E_MEMORY, "out of memory");
    s->started_s = (uint64_t)time(NULL);
    json_object_seed(0);            /* before threads need it */
    pl_status st = copy_params(s, params, err);
    if (!st) st = start_threads(s, params, err);
    if (st) {
        server_close(s);
        return st;
    }
    *out = s;
    return PL_OK;
}

void server_ready(struct server *s, pl_engine *engine)
{
    atomic_store_explicit(&s->engine, engine, memory_order_release);
}

uint16_t server_port(const struct server *s)
{
    return s->port;
}

void server_drain(struct server *s)
{
    pl_engine *engine = atomic_load_explicit(&s->engine, memory_order_acquire);
    atomic_store(&s->is_draining, true);
    if (engine) pl_drain(engine);
}

uint32_t server_n_active(const struct server *s)
{
    return atomic_load(&((struct server *)(uintptr_t)s)->n_active);
}

/* Their streams end within a step, and with them the answers, which say why. */
static void cancel_all(struct server *s)
{
    pthread_mutex_lock(&s->watcher.lock);
    for (struct exchange *x = s->watcher.first; x; x = x->next) completion_cancel(x->completion);
    pthread_mutex_unlock(&s->watcher.lock);
}

/* For replies that an engine which does not move cannot end: their connections are cut. */
static void cut_all(struct server *s)
{
    pthread_mutex_lock(&s->watcher.lock);
    for (struct exchange *x = s->watcher.first; x; x = x->next) exchange_mark_gone(x);
    pthread_mutex_unlock(&s->watcher.lock);
}

static void until_idle(struct server *s, void (*again)(struct server *))
{
    for (int i = 0; i < END_ROUNDS && server_n_active(s); i++) {
        again(s);
        nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
    }
}

/* libmicrohttpd may only be stopped when no connection is suspended: each exchange is prepared,
 * woken, and does not suspend again. */
static void stop_daemon(struct server *s)
{
    const MHD_socket listener = MHD_quiesce_daemon(s->daemon);
    atomic_store(&s->is_draining, true);
    preparer_stop(s);
    until_idle(s, cancel_all);
    until_idle(s, cut_all);
    MHD_stop_daemon(s->daemon);
    if (listener != MHD_INVALID_SOCKET) close(listener);
}

void server_close(struct server *s)
{
    if (!s) return;
    if (s->daemon) stop_daemon(s);
    preparer_close(s);
    watcher_close(s);
    for (size_t i = 0; i < s->n_api_keys; i++) free(s->api_keys[i]);
    free(s->api_keys);
    free(s->alias);
    free(s->model_path);
    free(s->file_name);
    free(s->cors_origin);
    free(s);
}
