/* How a request is received, handed to its route and answered; the states of exchange.h. */
#include "server/exchange.h"

#include <stdlib.h>
#include <string.h>

#include "server/http.h"

enum {
    INLINE_BODY_BYTES = 16 << 10,       /* takes at most a few milliseconds to prepare */
    MAX_DROPPED_BYTES = 64 << 20,       /* of a refused body, read so that the client sees why */
};

/* ---- waking and suspending ------------------------------------------------------------------ */

static void wake_locked(struct exchange *x)
{
    x->has_news = true;
    if (x->is_suspended && !x->is_preparing) {
        x->is_suspended = false;
        MHD_resume_connection(x->connection);
    }
}

void exchange_wake(struct exchange *x)
{
    pthread_mutex_lock(&x->lock);
    wake_locked(x);
    pthread_mutex_unlock(&x->lock);
}

void exchange_prepared(struct exchange *x)
{
    pthread_mutex_lock(&x->lock);
    x->is_preparing = false;
    wake_locked(x);
    pthread_mutex_unlock(&x->lock);
}

bool exchange_suspend(struct exchange *x)
{
    pthread_mutex_lock(&x->lock);
    const bool is_idle = !x->has_news && !x->is_gone;
    if (is_idle) {
        x->is_suspended = true;
        MHD_suspend_connection(x->connection);
    }
    pthread_mutex_unlock(&x->lock);
    return is_idle;
}

bool exchange_take_news(struct exchange *x, bool *is_ping_due)
{
    pthread_mutex_lock(&x->lock);
    const bool is_gone = x->is_gone;
    x->has_news = false;
    *is_ping_due = x->is_ping_due;
    x->is_ping_due = false;
    pthread_mutex_unlock(&x->lock);
    return is_gone;
}

void exchange_mark_gone(struct exchange *x)
{
    pthread_mutex_lock(&x->lock);
    const bool is_new = !x->is_gone;
    x->is_gone = true;
    pthread_mutex_unlock(&x->lock);
    if (!is_new) return;
    completion_cancel(x->completion);
    exchange_wake(x);
}

/* ---- the body ------------------------------------------------------------------------------- */

void exchange_free_body(struct exchange *x)
{
    atomic_fetch_sub(&x->server->n_body_bytes, x->body.n);
    strbuf_free(&x->body);
    x->body = (struct strbuf){ 0 };
}

/* What is refused is read and dropped, within a bound, so that the client sees the answer. */
static enum MHD_Result take_body(struct exchange *x, const char *bytes, size_t n)
{
    struct server *s = x->server;
    x->n_received_bytes += n;
    if (x->n_received_bytes > s->max_body_bytes) x->is_too_large = true;
    if (!x->drops_body && !x->is_too_large &&
        atomic_load(&s->n_body_bytes) + n > s->max_bodies_bytes)
        x->is_over_budget = true;
    if (x->is_too_large || x->is_over_budget) x->drops_body = true;
    if (x->drops_body) {
        exchange_free_body(x);
        return x->n_received_bytes < s->max_body_bytes + MAX_DROPPED_BYTES ? MHD_YES : MHD_NO;
    }
    if (x->body.failed) return MHD_YES;
    strbuf_add(&x->body, bytes, n);
    if (!x->body.failed) atomic_fetch_add(&s->n_body_bytes, n);
    else atomic_fetch_sub(&s->n_body_bytes, x->n_received_bytes - n);
    return MHD_YES;
}

/* ---- from the head to the answer ------------------------------------------------------------ */

static enum MHD_Result open_exchange(struct server *s, struct MHD_Connection *connection,
                                     const char *path, const char *method, void **request)
{
    const char *other_methods;
    struct exchange *x = calloc(1, sizeof *x);
    if (!x) return MHD_NO;
    if (pthread_mutex_init(&x->lock, NULL)) {
        free(x);
        return MHD_NO;
    }
    x->server = s;
    x->connection = connection;
    x->path = path;
    x->route = route_find(method, path, &other_methods);
    x->drops_body = !x->route || !auth_is_allowed(x);   /* nobody fills memory without a key */
    *request = x;
    return MHD_YES;
}

static enum MHD_Result fail_method(struct exchange *x, const char *method, const char *path,
                                   const char *other_methods)
{
    const enum MHD_Result result =
        http_fail(x, 405, NULL, "method_not_allowed", "%.100s does not take %.20s; it takes %s",
                  path, method, other_methods);
    if (x->response) MHD_add_response_header(x->response, "Allow", other_methods);
    return result;
}

/* True: answered without running the route. */
static bool refuse(struct exchange *x, const char *method, const char *path)
{
    const char *other_methods = NULL;
    if (!strcmp(method, "OPTIONS")) {
        x->result = http_send_preflight(x);
    } else if (!route_find(method, path, &other_methods)) {
        x->result = other_methods
                        ? fail_method(x, method, path, other_methods)
                        : http_fail(x, 404, NULL, "not_found", "there is no route %.200s", path);
    } else if (!auth_is_allowed(x)) {
        x->result = http_fail(x, 401, NULL, "invalid_api_key", "an API key is needed and was "
                              "missing or wrong: Authorization: Bearer KEY");
    } else if (x->route->needs_engine && !server_engine(x)) {
        x->result = http_fail(x, 503, NULL, "loading", "the model is being loaded");
    } else if (x->is_too_large) {
        x->result = http_fail(x, 413, NULL, "body_too_large",
                              "the body is larger than %zu bytes", x->server->max_body_bytes);
    } else if (x->is_over_budget) {
        x->server->n_refused_bodies++;
        x->result = http_fail(x, 429, NULL, "queue_full", "the bodies of requests being received "
                              "fill %zu bytes; try again later", x->server->max_bodies_bytes);
    } else if (x->body.failed) {
        x->result = http_fail(x, 500, NULL, NULL, "out of memory");
    } else {
        return false;
    }
    return true;
}

static enum MHD_Result deliver(struct exchange *x)
{
    const enum MHD_Result result = MHD_queue_response(x->connection, x->status, x->response);
    MHD_destroy_response(x->response);
    x->response = NULL;
    x->state = ANSWERED;
    if (x->status < MAX_STATUS) x->server->n_answers[x->status]++;
    return result;
}

/* WAITING: an answer, or the connection is suspended. */
static enum MHD_Result advance(struct exchange *x)
{
    const enum MHD_Result result = completion_advance(x);
    return result == MHD_YES && x->response ? deliver(x) : result;
}

/* The end of PREPARING. */
static enum MHD_Result go_on(struct exchange *x)
{
    if (x->result != MHD_YES) return MHD_NO;
    if (x->completion) watcher_add(x);
    if (x->response) return deliver(x);
    if (!x->completion) return MHD_NO;
    x->state = WAITING;
    return advance(x);
}

static enum MHD_Result start(struct exchange *x, const char *method, const char *path)
{
    x->state = PREPARING;
    if (!refuse(x, method, path)) {
        if (x->body.n > INLINE_BODY_BYTES && preparer_take(x)) return MHD_YES;
        x->result = x->route->run(x);
    }
    return go_on(x);
}

/* libmicrohttpd calls this once for the head, for every piece of the body, once at its end, and
 * after each resumption of a request that has no answer yet. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *upload,
                                  size_t *n_upload, void **request)
{
    struct exchange *x = *request;
    (void)version;

    if (!x) return open_exchange(arg, connection, path, method, request);
    if (*n_upload) {
        const size_t n = *n_upload;
        *n_upload = 0;
        return take_body(x, upload, n);
    }
    switch (x->state) {
    case RECEIVING: return start(x, method, path);
    case PREPARING: return go_on(x);
    case WAITING: return advance(x);
    default: return MHD_YES;
    }
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode code)
{
    struct exchange *x = *request;
    (void)arg, (void)connection, (void)code;
    if (!x) return;
    watcher_remove(x);
    completion_free(x->completion);
    pthread_mutex_lock(&x->lock);       /* who woke x last has let go of it */
    pthread_mutex_unlock(&x->lock);
    if (x->response) MHD_destroy_response(x->response);
    exchange_free_body(x);
    if (x->is_active) atomic_fetch_sub(&x->server->n_active, 1);
    pthread_mutex_destroy(&x->lock);
    free(x);
    *request = NULL;
}

MHD_AccessHandlerCallback exchange_handler(void)
{
    return on_request;
}

MHD_RequestCompletedCallback exchange_completed_handler(void)
{
    return on_completed;
}
