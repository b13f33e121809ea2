#include "server/connections.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/answer.h"
#include "server/head.h"
#include "server/metrics_text.h"
#include "server/state.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0              /* macOS: who serves ignores SIGPIPE */
#endif

enum { LEAST_IDLE_S = 1, LEAST_BODY_S = 10, TELL_EVERY_S = 60 };

static const uint64_t second_ns = 1000000000u;

/* ---- the list ------------------------------------------------------------------------------- */

static struct connection *connection_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

int connection_socket(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}

static void enter(struct server *s, struct MHD_Connection *mhd, enum connection_state state)
{
    struct connection *c = connection_of(mhd);
    if (!c) return;
    pthread_mutex_lock(&s->connections.lock);
    c->state = state;
    c->since_ns = clock_ns();
    pthread_mutex_unlock(&s->connections.lock);
}

void connection_head(struct server *s, struct MHD_Connection *c)
{
    enter(s, c, HEAD);
}

void connection_body(struct server *s, struct MHD_Connection *c)
{
    enter(s, c, BODY);
}

void connection_busy(struct server *s, struct MHD_Connection *c)
{
    enter(s, c, BUSY);
}

void connection_kept(struct server *s, struct MHD_Connection *c)
{
    enter(s, c, KEPT);
}

static void cut(struct connections *all, struct connection *c, enum connection_end why)
{
    c->is_cut = true;
    all->n_cut++;
    all->n_ended[why]++;
    shutdown(c->socket, SHUT_RDWR);
}

/* ---- at the limit --------------------------------------------------------------------------- */

/* One whose client asked for nothing yet, or stopped in the middle. */
static bool may_go(const struct connection *c, uint64_t now)
{
    const uint64_t least_s = c->state == BODY ? LEAST_BODY_S : LEAST_IDLE_S;
    return c->state != BUSY && !c->is_cut && now - c->since_ns >= least_s * second_ns;
}

/* Idle ones first, then half-sent bodies; of each the one that has waited longest. */
static struct connection *find_idlest(const struct connections *all, uint64_t now)
{
    struct connection *best = NULL;
    for (struct connection *c = all->first; c; c = c->next) {
        if (!may_go(c, now)) continue;
        const bool is_kinder = best && best->state == BODY && c->state != BODY;
        const bool is_ruder = best && best->state != BODY && c->state == BODY;
        if (!best || is_kinder || (!is_ruder && c->since_ns < best->since_ns)) best = c;
    }
    return best;
}

static bool is_over(const struct connections *all)
{
    return all->n - all->n_cut > all->max;
}

static bool is_time_to_tell(struct connections *all, uint64_t now)
{
    if (all->told_ns && now - all->told_ns < TELL_EVERY_S * second_ns) return false;
    all->told_ns = now;
    return true;
}

static void make_room(struct connections *all)
{
    const uint64_t now = clock_ns();
    struct connection *idlest = find_idlest(all, now);
    if (idlest) cut(all, idlest, END_ROOM);
    if (is_time_to_tell(all, now))
        PL_LOG(WARN, "server", "all %u connections are in use: new ones %s (--max-connections)",
               all->max, idlest ? "take the place of idle ones" : "are answered 503");
}

static void add(struct server *s, struct MHD_Connection *mhd, void **context)
{
    struct connections *all = &s->connections;
    struct connection *c = calloc(1, sizeof *c);
    if (!c) return;
    *c = (struct connection){ .mhd = mhd, .socket = connection_socket(mhd), .state = FRESH,
                              .since_ns = clock_ns() };
    *context = c;
    pthread_mutex_lock(&all->lock);
    all->n++;
    if (is_over(all)) make_room(all);
    c->next = all->first;
    if (c->next) c->next->previous = c;
    all->first = c;
    const bool is_only = all->n == 1;
    pthread_mutex_unlock(&all->lock);
    if (is_only) bell_ring(&s->bell);       /* from now on there is something to sweep */
}

static void drop(struct server *s, struct connection *c)
{
    struct connections *all = &s->connections;
    pthread_mutex_lock(&all->lock);
    if (c->next) c->next->previous = c->previous;
    if (c->previous) c->previous->next = c->next;
    else all->first = c->next;
    all->n--;
    all->n_cut -= c->is_cut;
    pthread_mutex_unlock(&all->lock);
    free(c);
}

static void on_connection(void *arg, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED) add(arg, mhd, context);
    else if (*context) drop(arg, *context);
}

MHD_NotifyConnectionCallback connections_handler(void)
{
    return on_connection;
}

bool connections_are_too_many(struct server *s)
{
    struct connections *all = &s->connections;
    pthread_mutex_lock(&all->lock);
    const bool are_too_many = is_over(all);
    pthread_mutex_unlock(&all->lock);
    return are_too_many;
}

/* ---- what takes too long -------------------------------------------------------------------- */

static bool is_late(const struct connections *all, const struct connection *c, uint64_t now,
                    enum connection_end *why)
{
    const uint32_t limit_s[] = { [FRESH] = all->head_timeout_s, [HEAD] = all->head_timeout_s,
                                 [BODY] = all->body_timeout_s, [KEPT] = all->kept_timeout_s,
                                 [BUSY] = UINT32_MAX };
    *why = c->state == KEPT ? END_IDLE : c->state == BODY ? END_BODY : END_HEAD;
    return !c->is_cut && now - c->since_ns >= limit_s[c->state] * second_ns;
}

/* Newcomers find nobody idle where all came within the same second, and libmicrohttpd takes no more
 * of them than MAX_SURPLUS: that second over, room is made here. */
bool connections_sweep(struct server *s)
{
    struct connections *all = &s->connections;
    struct connection *idlest;
    enum connection_end why;
    pthread_mutex_lock(&all->lock);
    const uint64_t now = clock_ns();    /* not before the lock: no state is newer than that */
    for (struct connection *c = all->first; c; c = c->next)
        if (is_late(all, c, now, &why)) cut(all, c, why);
    while (is_over(all) && (idlest = find_idlest(all, now))) cut(all, idlest, END_ROOM);
    const bool has_any = all->first != NULL;
    pthread_mutex_unlock(&all->lock);
    return has_any;
}

/* ---- refusals by the library ---------------------------------------------------------------- */

/* The whole answer, past libmicrohttpd, which then finds its socket closed. */
static void answer_past_library(struct server *s, const struct connection *c,
                                const struct head_problem *problem)
{
    struct strbuf body = { 0 }, all = { 0 };
    answer_error_text(&body, ERRORS_OPENAI, problem->status,
                      &(struct answer_error){ .code = problem->code, .message = problem->text });
    strbuf_addf(&all, "HTTP/1.1 %u %s\r\nConnection: close\r\nContent-Type: application/json\r\n"
                "Content-Length: %zu\r\n\r\n", problem->status,
                problem->status == 413 ? "Content Too Large" : "Bad Request", body.n);
    strbuf_add(&all, body.bytes, body.n);
    if (!all.failed) {
        linger_add(&s->linger, c->socket);
        send(c->socket, all.bytes, all.n, MSG_NOSIGNAL | MSG_DONTWAIT);
        s->n_answers[problem->status]++;
    }
    strbuf_free(&body);
    strbuf_free(&all);
}

/* What a head is refused for cannot get better by what comes after: whichever connection the
 * message is about, every one with such a head may be answered. */
void connections_log(void *server, const char *format, va_list args)
{
    struct server *s = server;
    struct connections *all = &s->connections;
    (void)format, (void)args;
    pthread_mutex_lock(&all->lock);
    for (struct connection *c = all->first; c; c = c->next) {
        struct head head;
        if (c->state != HEAD || c->is_cut) continue;
        const struct head_problem problem = head_read_length(c->mhd, &head);
        if (!problem.status) continue;
        answer_past_library(s, c, &problem);
        shutdown(c->socket, SHUT_WR);
        c->is_cut = true;
        all->n_cut++;
    }
    pthread_mutex_unlock(&all->lock);
}

/* ---- opening and telling -------------------------------------------------------------------- */

bool connections_open(struct server *s)
{
    if (pthread_mutex_init(&s->connections.lock, NULL)) return false;
    s->connections.is_open = true;
    return true;
}

void connections_close(struct server *s)
{
    if (s->connections.is_open) pthread_mutex_destroy(&s->connections.lock);
    s->connections.is_open = false;
}

void connections_metrics(struct server *s, struct strbuf *to)
{
    static const char *const reasons[] = { [END_HEAD] = "head", [END_BODY] = "body",
                                           [END_IDLE] = "idle", [END_ROOM] = "room" };
    const char *name = "paceline_http_connections_closed_total";
    struct connections *all = &s->connections;
    metric_counter(to, "paceline_http_connections_refused_total", NULL,
                   "Requests answered 503 because all connections were in use.",
                   s->n_refused_connections);
    pthread_mutex_lock(&all->lock);
    metric_gauge(to, "paceline_http_connections", NULL, "Open connections.", all->n);
    metric_gauge(to, "paceline_http_connections_max", NULL, "Connections there may be.", all->max);
    metric_head(to, name, "counter", "Connections closed by the server for taking too long over a "
                "head or body, for being idle, or to make room for others.");
    for (int i = 0; i < N_CONNECTION_ENDS; i++)
        metric_labelled(to, name, "reason", reasons[i], (double)all->n_ended[i]);
    pthread_mutex_unlock(&all->lock);
}
