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
#include "server/json_read.h"
#include "server/json_text.h"
#include "server/state.h"

enum {
    DEFAULT_MAX_BODY = 16 << 20,
    LARGEST_BODIES = 16,            /* so many of the largest may be in memory at once */
    DEFAULT_MAX_CONNECTIONS = 1024,
    STILL_TIMEOUT_S = 300,
    CONNECTION_BYTES = 128 << 10,   /* libmicrohttpd's of each: heads of four times what is taken */
    END_ROUNDS = 200,               /* of 10 ms: how long ended replies may take to leave */
};

static pl_status find_address(const struct server_params *p, struct addrinfo **out, pl_err *err)
{
    char port[8];
    const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
                                    .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
    char host[NI_MAXHOST];
    const char *given = p->host ? p->host : "127.0.0.1";
    const size_t n = strlen(given);
    const bool has_brackets = n > 2 && given[0] == '[' && given[n - 1] == ']';  /* as in a URL */
    snprintf(host, sizeof host, "%.*s", (int)(has_brackets ? n - 2 : n), given + has_brackets);
    snprintf(port, sizeof port, "%u", p->port);
    const int code = getaddrinfo(host, port, &hints, out);
    if (code)
        return pl_fail(err, PL_E_PARAM, "cannot listen on %s: %s", given, gai_strerror(code));
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
    unsigned flags = MHD_USE_AUTO_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    if (address->ai_family == AF_INET6) flags |= is_any_ipv6(address) ? MHD_USE_DUAL_STACK
                                                                      : MHD_USE_IPv6;
    /* Unasked it would let two servers share the port unnoticed; a port that waits after its last
     * owner is taken without it. */
    struct MHD_OptionItem reuse[] = { { p->reuse_port ? MHD_OPTION_LISTENING_ADDRESS_REUSE
                                                      : MHD_OPTION_END, 1, NULL },
                                      { MHD_OPTION_END, 0, NULL } };
    errno = 0;
    s->daemon = MHD_start_daemon(
        flags, p->port, NULL, NULL, exchange_handler(), s, MHD_OPTION_EXTERNAL_LOGGER,
        connections_log, s, MHD_OPTION_SOCK_ADDR, address->ai_addr, MHD_OPTION_URI_LOG_CALLBACK,
        exchange_named, s, MHD_OPTION_NOTIFY_COMPLETED, exchange_completed_handler(), s,
        MHD_OPTION_NOTIFY_CONNECTION, connections_handler(), s, MHD_OPTION_CONNECTION_LIMIT,
        s->connections.max + MAX_SURPLUS, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)s->idle_timeout_s,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES, MHD_OPTION_ARRAY, reuse,
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

/* For names that answers tell. */
static bool copy_clean(char **to, const char *from)
{
    *to = from ? json_text_clean(from) : NULL;
    return !from || *to;
}

/* "first, second": the first is what the model is called. */
static bool copy_aliases(struct server *s, const char *aliases)
{
    if (!copy_clean(&s->alias, aliases)) return false;
    char *comma = s->alias ? strchr(s->alias, ',') : NULL;
    if (!comma) return true;
    *comma = 0;
    return copy_text(&s->more_aliases, comma + 1);
}

/* Without the slashes at its end. */
static bool copy_prefix(struct server *s, const char *prefix)
{
    if (!prefix || !copy_text(&s->path_prefix, prefix)) return !prefix;
    size_t n = strlen(s->path_prefix);
    while (n && s->path_prefix[n - 1] == '/') s->path_prefix[--n] = 0;
    return true;
}

static pl_status read_template_kwargs(struct server *s, const char *text, pl_err *err)
{
    if (!text) return PL_OK;
    s->template_kwargs = json_read(text, strlen(text), NULL);
    if (json_is_object(s->template_kwargs)) return PL_OK;
    return pl_fail(err, PL_E_PARAM, "--chat-template-kwargs: found %.100s; a JSON object is "
                   "wanted, as {\"enable_thinking\": false}", text);
}

static pl_status copy_params(struct server *s, const struct server_params *p, pl_err *err)
{
    const char *slash = p->model_path ? strrchr(p->model_path, '/') : NULL;
    bool is_ok = copy_aliases(s, p->alias) && copy_prefix(s, p->path_prefix) &&
                 copy_clean(&s->model_path, p->model_path) &&
                 copy_clean(&s->file_name, slash ? slash + 1 : p->model_path) &&
                 copy_text(&s->cors_origin, p->cors_origin);
    is_ok = is_ok && keys_open(&s->keys) && keys_set(&s->keys, p->api_keys, p->n_api_keys) &&
            connections_open(s) && linger_open(&s->linger, &s->bell) &&
            response_store_open(&s->responses, STORE_MAX_RESPONSES, STORE_MAX_BYTES);
    if (!is_ok) return pl_fail(err, PL_E_MEMORY, "out of memory");
    s->connections.max = p->max_connections ? p->max_connections : DEFAULT_MAX_CONNECTIONS;
    s->connections.head_timeout_s = p->head_timeout_s ? p->head_timeout_s : HEAD_TIMEOUT_S;
    s->connections.body_timeout_s = p->body_timeout_s ? p->body_timeout_s : BODY_TIMEOUT_S;
    s->connections.kept_timeout_s = p->kept_timeout_s ? p->kept_timeout_s : KEPT_TIMEOUT_S;
    s->is_verbose = p->is_verbose;
    s->max_body_bytes = p->max_body_bytes ? p->max_body_bytes : DEFAULT_MAX_BODY;
    s->max_bodies_bytes = LARGEST_BODIES * s->max_body_bytes;
    s->sampling = p->sampling;
    s->has_seed = p->has_seed;
    s->ignore_eos = p->ignore_eos;
    s->max_tokens = p->max_tokens;
    s->max_priority = p->max_priority;
    s->ping_interval_s = p->ping_interval_s;
    s->idle_timeout_s = p->idle_timeout_s ? p->idle_timeout_s : STILL_TIMEOUT_S;
    s->write_timeout_s = p->write_timeout_s;
    s->no_metrics = p->no_metrics;
    s->no_slots = p->no_slots;
    s->no_page = p->no_page;
    s->has_vllm_metrics = p->has_vllm_metrics;
    s->has_llama_metrics = p->has_llama_metrics;
    s->no_prefix_cache = p->no_prefix_cache;
    s->has_strict_names = p->has_strict_names;
    return read_template_kwargs(s, p->template_kwargs, err);
}

/* Signals are the main thread's: none of the threads started here takes them. */
static pl_status start_threads(struct server *s, const struct server_params *params, pl_err *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pl_status st = bell_open(&s->bell, err);
    if (!st) st = watcher_open(s, err);
    if (!st) st = preparer_open(s, err);
    if (!st) st = start_daemon(s, params, err);
    if (!st) st = agent_open(s, params->agent_host, params->agent_port, err);
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
    tool_form_open(&s->tools, engine);
    atomic_store_explicit(&s->engine, engine, memory_order_release);
}

void server_tell_loading(struct server *s, float fraction)
{
    atomic_store(&s->load_percent, (unsigned)(fraction * 100));
}

bool server_set_keys(struct server *s, const char *const *keys, size_t n)
{
    if (!keys_set(&s->keys, keys, n)) return false;
    response_store_clear(&s->responses);    /* numbers of keys mean others now */
    return true;
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
    until_idle(s, watcher_cancel_all);
    until_idle(s, watcher_cut_all);     /* an engine that does not move cannot end its streams */
    MHD_stop_daemon(s->daemon);
    if (listener != MHD_INVALID_SOCKET) close(listener);
}

void server_close(struct server *s)
{
    if (!s) return;
    if (s->daemon) stop_daemon(s);
    agent_close(&s->agent);
    preparer_close(s);
    watcher_close(s);
    bell_close(&s->bell);
    linger_close(&s->linger);
    connections_close(s);
    keys_close(&s->keys);
    response_store_close(&s->responses);
    free(s->alias);
    free(s->more_aliases);
    json_decref(s->template_kwargs);
    free(s->path_prefix);
    free(s->model_path);
    free(s->file_name);
    free(s->cors_origin);
    free(s);
}
