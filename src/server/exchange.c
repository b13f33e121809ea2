/* The states of state.h. */
#include "server/exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "server/answer.h"
#include "server/body.h"
#include "server/completion.h"
#include "server/embed_answer.h"
#include "server/embedding.h"
#include "server/events.h"
#include "server/head.h"
#include "server/request_log.h"
#include "server/request_grammar.h"
#include "server/routes.h"

enum {
    INLINE_BODY_BYTES = 16 << 10,       /* takes at most a few milliseconds to prepare */
    SEND_BUFFER_BYTES = 64 << 10,       /* of a reply's socket; Linux takes twice that */
};

/* ---- from the head to the answer ------------------------------------------------------------ */

/* Of the table of routes. */
static const char *path_of_route(const struct server *s, const char *path)
{
    const size_t n = s->path_prefix ? strlen(s->path_prefix) : 0;
    if (!n) return path;
    if (strncmp(path, s->path_prefix, n) || (path[n] && path[n] != '/'))
        return "outside of --api-prefix";       /* there is no such route */
    return path[n] ? path + n : "/";
}

void *exchange_named(void *server, const char *target, struct MHD_Connection *connection)
{
    struct exchange *x = calloc(1, sizeof *x);
    connection_head(server, connection);
    /* Cookies mean nothing here, and libmicrohttpd answers twice where it has no room to parse
     * them: it parses the first header of that name. */
    MHD_set_connection_value(connection, MHD_HEADER_KIND, "Cookie", "none=none");
    if (!x) return NULL;
    if (!wake_open(&x->wake, connection)) {
        free(x);
        return NULL;
    }
    x->server = server;
    x->connection = connection;
    x->started_ns = clock_ns();
    x->target = target_parse(target, &x->whole_path);
    x->path = x->whole_path ? path_of_route(server, x->whole_path) : "";
    return x;
}

static enum MHD_Result fail_no_route(struct exchange *x)
{
    if (!x->other_methods)
        return answer_fail(x, 404, NULL, "not_found", "there is no route %.200s", x->path);
    const enum MHD_Result result =
        answer_fail(x, 405, NULL, "method_not_allowed", "%.100s does not take %s; it takes %s",
                    x->path, x->method, x->other_methods);
    if (x->response) MHD_add_response_header(x->response, "Allow", x->other_methods);
    return result;
}

/* True: answered without running the route. */
static bool refuse(struct exchange *x)
{
    if (!strcmp(x->method, "OPTIONS")) {
        x->result = answer_preflight(x);
    } else if (!x->route) {
        x->result = fail_no_route(x);
    } else if (!x->is_allowed) {
        x->result = answer_fail(x, 401, NULL, "invalid_api_key", "an API key is needed and was "
                                "missing or wrong: Authorization: Bearer KEY");
    } else if (x->route->needs_engine && !server_engine(x)) {
        x->result = answer_fail_loading(x);
    } else if (x->is_too_large) {
        x->result = answer_fail(x, 413, NULL, "body_too_large",
                                "the body is larger than %zu bytes", x->server->max_body_bytes);
    } else if (x->is_over_budget) {
        x->server->n_refused_bodies++;
        x->result = answer_fail(x, 429, NULL, "queue_full", "the bodies of requests being received "
                                "fill %zu bytes; try again later", x->server->max_bodies_bytes);
    } else if (x->body.failed) {
        x->result = answer_fail(x, 500, NULL, NULL, "out of memory");
    } else {
        return false;
    }
    return true;
}

/* From here on a silent connection is one that takes nothing (while an answer waits for tokens it
 * is suspended, and no time counts). The system keeps little of a reply for a reader that does not
 * come, so that it is soon seen. */
static void bound_writing(struct exchange *x)
{
    const int n_bytes = SEND_BUFFER_BYTES, socket = connection_socket(x->connection);
    if (x->completion && socket >= 0)
        setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &n_bytes, sizeof n_bytes);
    MHD_set_connection_option(x->connection, MHD_CONNECTION_OPTION_TIMEOUT,
                              (unsigned)x->server->write_timeout_s);
}

static enum MHD_Result deliver(struct exchange *x)
{
    bound_writing(x);
    if (x->is_closing) MHD_add_response_header(x->response, "Connection", "close");
    const enum MHD_Result result = MHD_queue_response(x->connection, x->status, x->response);
    MHD_destroy_response(x->response);
    x->response = NULL;
    x->state = ANSWERED;
    if (x->status < MAX_STATUS) x->server->n_answers[x->status]++;
    return result;
}

/* WAITING: an answer, or the connection is suspended. */
static enum MHD_Result wait_on(struct exchange *x)
{
    const enum MHD_Result result = x->embedding ? embed_answer(x) : events_document(x);
    return result == MHD_YES && x->response ? deliver(x) : result;
}

/* The end of PREPARING. */
static enum MHD_Result go_on(struct exchange *x)
{
    const bool is_under_way = x->completion || x->embedding;
    if (x->result != MHD_YES) return MHD_NO;
    if (is_under_way) watcher_add(x);
    if (x->response) return deliver(x);
    if (!is_under_way) return MHD_NO;
    x->state = WAITING;
    return wait_on(x);
}

static enum MHD_Result start(struct exchange *x)
{
    x->state = PREPARING;
    connection_busy(x->server, x->connection);
    if (!refuse(x)) {
        const bool takes_time = x->body.n > INLINE_BODY_BYTES ||
                                request_may_have_grammar(x->body.bytes, x->body.n);
        if (takes_time && preparer_take(x)) return MHD_YES;
        x->result = x->route->run(x);
    }
    return go_on(x);
}

/* ---- heads ---------------------------------------------------------------------------------- */

static struct head_problem target_problem(const struct exchange *x)
{
    switch (x->target) {
    case TARGET_TOO_LONG:
        return (struct head_problem){ 414, "uri_too_long", "the request's target is longer than "
                                      "8192 bytes" };
    case TARGET_ZERO_BYTE:
        return (struct head_problem){ 400, "bad_target", "the request's target holds a zero byte" };
    case TARGET_NO_MEMORY:
        return (struct head_problem){ 500, NULL, "out of memory" };
    default:
        return (struct head_problem){ 0, NULL, NULL };
    }
}

/* Where there are too many connections, only what needs no key and no engine is answered: whoever
 * watches the server must not think it dead. */
static bool refuse_surplus(struct exchange *x)
{
    if (!connections_are_too_many(x->server)) return false;
    x->is_closing = true;
    if (x->route && x->route->is_open) return false;
    x->server->n_refused_connections++;
    x->result = answer_fail(x, 503, NULL, "too_many_connections", "all %u connections are in use",
                            x->server->connections.max);
    return true;
}

static void look_up(struct exchange *x)
{
    x->route = route_find(x->method, x->path, &x->other_methods);
    x->errors = x->route ? x->route->errors : route_errors(x->path);
    x->is_allowed = x->route && (x->route->is_open ||
                                 keys_allow(&x->server->keys, x->connection, &x->key_number));
}

/* True: answered before the body came. What is left of it is dropped, not taken for a request. */
static bool refuse_head(struct exchange *x, const char *version)
{
    struct head head;
    look_up(x);     /* first: what is wrong with the head is told in the route's shape, too */
    struct head_problem problem = head_read(x->connection, version, &head);
    if (!problem.status) problem = target_problem(x);
    if (problem.status) {
        x->result = answer_fail(x, problem.status, NULL, problem.code, "%s", problem.text);
    } else {
        x->drops_body = !x->is_allowed;     /* nobody fills memory without a key */
        x->is_too_large = head.n_body_bytes > x->server->max_body_bytes;
        if (!refuse_surplus(x) && !(x->is_too_large && refuse(x))) return false;
    }
    x->is_closing = true;
    return true;
}

/* An answer now ends the connection; it lingers for the client's sake. */
static enum MHD_Result answer_head(struct exchange *x)
{
    const int socket = connection_socket(x->connection);
    connection_busy(x->server, x->connection);
    if (x->result != MHD_YES || !x->response) return MHD_NO;
    if (socket >= 0) linger_add(&x->server->linger, socket);
    return deliver(x);
}

static enum MHD_Result take_head(struct exchange *x, const char *method, const char *version)
{
    snprintf(x->method, sizeof x->method, "%s", method);
    x->state = RECEIVING;
    head_request_id(x);
    if (refuse_head(x, version)) return answer_head(x);
    connection_body(x->server, x->connection);
    return MHD_YES;
}

/* libmicrohttpd calls this once for the head, for every piece of the body, once at its end, and
 * after each resumption of a request that has no answer yet. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *upload,
                                  size_t *n_upload, void **request)
{
    struct exchange *x = *request;
    (void)arg, (void)path;

    if (!x) return MHD_NO;
    if (*n_upload) {
        const size_t n = *n_upload;
        *n_upload = 0;
        connection_body(x->server, connection);
        return body_take(x, upload, n);
    }
    switch (x->state) {
    case NAMED: return take_head(x, method, version);
    case RECEIVING: return start(x);
    case PREPARING: return go_on(x);
    case WAITING: return wait_on(x);
    default: return MHD_YES;
    }
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode code)
{
    struct exchange *x = *request;
    connection_kept(arg, connection);
    if (!x) return;
    if (code == MHD_REQUEST_TERMINATED_COMPLETED_OK)    /* the connection may bring another */
        MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT,
                                  (unsigned)x->server->idle_timeout_s);
    watcher_remove(x);
    request_log(x, code, wake_is_gone(&x->wake));
    completion_free(x->completion);
    embedding_free(x->embedding);
    wake_close(&x->wake);
    if (x->response) MHD_destroy_response(x->response);
    body_free(x);
    if (x->is_active) atomic_fetch_sub(&x->server->n_active, 1);
    free(x->whole_path);
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
