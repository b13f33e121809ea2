/* The daemon's life, and how a request is received and handed to its route. */
#include "server/server.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/status.h"
#include "server/http.h"

enum { DEFAULT_MAX_BODY = 16 << 20, DEFAULT_MAX_CONNECTIONS = 1024, IDLE_TIMEOUT_S = 300 };

void exchange_wake(struct exchange *x)
{
    pthread_mutex_lock(&x->lock);
    x->has_news = true;
    if (x->is_suspended) {
        x->is_suspended = false;
        MHD_resume_connection(x->connection);
    }
    pthread_mutex_unlock(&x->lock);
}

static struct exchange *new_exchange(struct server *s, struct MHD_Connection *connection)
{
    struct exchange *x = calloc(1, sizeof *x);
    if (!x) return NULL;
    x->server = s;
    x->connection = connection;
    pthread_mutex_init(&x->lock, NULL);
    return x;
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode code)
{
    struct exchange *x = *request;
    (void)arg, (void)connection, (void)code;
    if (!x) return;
    watcher_remove(x);
    if (x->completion) {
        completion_free(x->completion);
        atomic_fetch_sub(&x->server->n_active, 1);
    }
    json_decref(x->json);
    strbuf_free(&x->body);
    pthread_mutex_destroy(&x->lock);
    free(x);
    *request = NULL;
}

static void take_body(struct exchange *x, const char *bytes, size_t n)
{
    if (x->body.n + n > x->server->max_body_bytes) {
        x->is_too_large = true;     /* the rest is read and dropped, then answered with 413 */
        strbuf_free(&x->body);
    } else if (!x->is_too_large) {
        strbuf_add(&x->body, bytes, n);
    }
}

static enum MHD_Result run_route(struct exchange *x, const char *method, const char *path,
                                 const char *other_methods)
{
    if (!strcmp(method, "OPTIONS")) return http_send(x, 204, "text/plain", "", 0);
    if (!x->route && other_methods) {
        return http_fail(x, 405, NULL, "method_not_allowed", "%s does not take %s; it takes %s",
                         path, method, other_methods);
    }
    if (!x->route) return http_fail(x, 404, NULL, "not_found", "there is no route %s", path);
    if (!auth_is_allowed(x))
        return http_fail(x, 401, NULL, "invalid_api_key", "an API key is needed and was missing "
                         "or wrong: Authorization: Bearer KEY");
    if (x->route->needs_engine && !atomic_load_explicit(&x->server->engine, memory_order_acquire))
        return http_fail(x, 503, NULL, "loading", "the model is being loaded");
    if (x->is_too_large)
        return http_fail(x, 413, NULL, "body_too_large", "the body is larger than %zu bytes",
                         x->server->max_body_bytes);
    if (x->body.failed) return http_fail(x, 500, NULL, NULL, "out of memory");
    return x->route->run(x);
}

/* libmicrohttpd calls this once for the head, for every piece of the body, once at its end, and
 * after each resumption of a request that has no answer yet. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *upload,
                                  size_t *n_upload, void **request)
{
    struct server *s = arg;
    struct exchange *x = *request;
    const char *other_methods = NULL;
    (void)version;

    if (!x) {
        *request = new_exchange(s, connection);
        return *request ? MHD_YES : MHD_NO;
    }
    if (*n_upload) {
        take_body(x, upload, *n_upload);
        *n_upload = 0;
        return MHD_YES;
    }
    if (x->is_answered) return MHD_YES;
    if (x->completion) return completion_resume(x);
    x->route = route_find(method, path, &other_methods);
    return run_route(x, method, path, other_methods);
}

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

static pl_status start_daemon(struct server *s, const struct server_params *p, pl_err *err)
{
    struct addrinfo *address;
    pl_status st = find_address(p, &address, err);
    if (st) return st;
    unsigned flags = MHD_USE_AUTO_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME;
    if (address->ai_family == AF_INET6) flags |= MHD_USE_IPv6;
    errno = 0;
    s->daemon = MHD_start_daemon(
        flags, p->port, NULL, NULL, on_request, s, MHD_OPTION_SOCK_ADDR, address->ai_addr,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_CONNECTION_LIMIT,
        p->max_connections ? p->max_connections : DEFAULT_MAX_CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_TIMEOUT_S, MHD_OPTION_LISTENING_ADDRESS_REUSE,
        1u, MHD_OPTION_LISTEN_BACKLOG_SIZE, 1024u, MHD_OPTION_END);
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
    s->sampling = p->sampling;
    s->max_tokens = p->max_tokens;
    s->ping_interval_s = p->ping_interval_s;
    s->no_metrics = p->no_metrics;
    s->no_slots = p->no_slots;
    return PL_OK;
}

pl_status server_open(struct server **out, const struct server_params *params, pl_err *err)
{
    *out = NULL;
    struct server *s = calloc(1, sizeof *s);
    if (!s) return pl_fail(err, PL_E_MEMORY, "out of memory");
    s->started_s = (uint64_t)time(NULL);
    pl_status st = copy_params(s, params, err);
    if (!st) st = watcher_open(s, err);
    if (!st) st = start_daemon(s, params, err);
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

/* Suspended connections must be resumed before the daemon may stop. */
static void end_exchanges(struct server *s)
{
    struct watcher *w = &s->watcher;
    if (!w->is_running) return;
    pthread_mutex_lock(&w->lock);
    for (struct exchange *x = w->first; x; x = x->next) {
        pthread_mutex_lock(&x->lock);
        x->is_gone = true;
        pthread_mutex_unlock(&x->lock);
        completion_cancel(x->completion);
        exchange_wake(x);
    }
    pthread_mutex_unlock(&w->lock);
}

void server_close(struct server *s)
{
    if (!s) return;
    if (s->daemon) {
        const MHD_socket listener = MHD_quiesce_daemon(s->daemon);
        atomic_store(&s->is_draining, true);
        /* an exchange woken now sees that its client is gone and does not suspend again */
        end_exchanges(s);
        for (int i = 0; i < 200 && server_n_active(s); i++) {
            nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
            end_exchanges(s);
        }
        MHD_stop_daemon(s->daemon);
        if (listener != MHD_INVALID_SOCKET) close(listener);
    }
    watcher_close(s);
    for (size_t i = 0; i < s->n_api_keys; i++) free(s->api_keys[i]);
    free(s->api_keys);
    free(s->alias);
    free(s->model_path);
    free(s->file_name);
    free(s->cors_origin);
    free(s);
}
