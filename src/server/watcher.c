/* A thread that looks at what libmicrohttpd does not: the sockets of suspended connections. It
 * cancels the streams of clients that went away, and says when a ping is due. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/status.h"
#include "server/exchange.h"

enum { POLL_MS = 500 };

#ifndef POLLRDHUP
#define POLLRDHUP 0
#endif

static void poke(struct watcher *w)
{
    const char one = 1;
    while (write(w->wake[1], &one, 1) < 0 && errno == EINTR) continue;
}

/* Whether the client's end is closed; remembers a client that merely sent more. */
static bool is_gone(struct exchange *x, short events)
{
    char byte;
    if (events & (POLLERR | POLLHUP | POLLNVAL | POLLRDHUP)) return true;
    if (!(events & POLLIN)) return false;
    const ssize_t n = recv(x->socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n > 0) x->has_stray_bytes = true;
    return n == 0;
}

static void ping_if_due(struct exchange *x)
{
    const uint64_t interval_ns = (uint64_t)x->server->ping_interval_s * 1000000000u;
    if (!interval_ns || clock_ns() - atomic_load(&x->last_sent_ns) < interval_ns) return;
    atomic_store(&x->last_sent_ns, clock_ns());
    pthread_mutex_lock(&x->lock);
    x->is_ping_due = true;
    pthread_mutex_unlock(&x->lock);
    exchange_wake(x);
}

/* Fills the list to poll; returns how many, or -1 without memory. */
static int list_sockets(struct watcher *w, struct pollfd **list, int *capacity)
{
    int n = 1;
    for (struct exchange *x = w->first; x; x = x->next) n++;
    if (n > *capacity) {
        struct pollfd *grown = realloc(*list, (size_t)n * 2 * sizeof *grown);
        if (!grown) return -1;
        *list = grown;
        *capacity = n * 2;
    }
    n = 0;
    (*list)[n++] = (struct pollfd){ .fd = w->wake[0], .events = POLLIN };
    for (struct exchange *x = w->first; x; x = x->next)
        (*list)[n++] = (struct pollfd){
            .fd = x->is_gone ? -1 : x->socket,
            .events = x->has_stray_bytes ? POLLRDHUP : POLLIN | POLLRDHUP,
        };
    return n;
}

/* The polled entry of this socket or NULL. Both lists have the same order but for what came and
 * went meanwhile, so the search starts after the last one found. */
static const struct pollfd *find(const struct pollfd *list, int n, int socket, int *at)
{
    for (int i = 1; i < n; i++) {
        if (++*at >= n) *at = 1;
        if (list[*at].fd == socket) return &list[*at];
    }
    return NULL;
}

/* Sockets are matched by number, and a stale event of one that was reused is found out by looking
 * at the socket itself. */
static void look(struct watcher *w, const struct pollfd *list, int n)
{
    int at = 0;
    for (struct exchange *x = w->first; x; x = x->next) {
        const struct pollfd *polled = find(list, n, x->socket, &at);
        if (polled && polled->revents) {
            struct pollfd now = { .fd = x->socket, .events = polled->events };
            if (poll(&now, 1, 0) == 1 && is_gone(x, now.revents)) exchange_mark_gone(x);
        }
        ping_if_due(x);
    }
}

static void *watch(void *arg)
{
    struct watcher *w = arg;
    struct pollfd *list = NULL;
    int capacity = 0;

    pthread_mutex_lock(&w->lock);
    while (!w->is_closing) {
        const int n = list_sockets(w, &list, &capacity);
        const bool has_any = w->first != NULL;
        pthread_mutex_unlock(&w->lock);
        if (n > 0 && poll(list, (nfds_t)n, has_any ? POLL_MS : -1) > 0 && list[0].revents) {
            char bytes[256];
            while (read(w->wake[0], bytes, sizeof bytes) == (ssize_t)sizeof bytes) continue;
        }
        pthread_mutex_lock(&w->lock);
        look(w, list, n);
    }
    pthread_mutex_unlock(&w->lock);
    free(list);
    return NULL;
}

pl_status watcher_open(struct server *s, pl_err *err)
{
    struct watcher *w = &s->watcher;
    if (pipe(w->wake)) return pl_fail(err, PL_E_IO, "cannot make a pipe: %s", strerror(errno));
    for (int i = 0; i < 2; i++) {
        fcntl(w->wake[i], F_SETFL, O_NONBLOCK);
        fcntl(w->wake[i], F_SETFD, FD_CLOEXEC);
    }
    pthread_mutex_init(&w->lock, NULL);
    const int code = pthread_create(&w->thread, NULL, watch, w);
    if (code) return pl_fail(err, PL_E_MEMORY, "cannot start a thread: %s", strerror(code));
    w->is_running = true;
    return PL_OK;
}

void watcher_close(struct server *s)
{
    struct watcher *w = &s->watcher;
    if (w->is_running) {
        pthread_mutex_lock(&w->lock);
        w->is_closing = true;
        pthread_mutex_unlock(&w->lock);
        poke(w);
        pthread_join(w->thread, NULL);
        pthread_mutex_destroy(&w->lock);
    }
    for (int i = 0; i < 2; i++)
        if (w->wake[i] > 0) close(w->wake[i]);
}

void watcher_add(struct exchange *x)
{
    struct watcher *w = &x->server->watcher;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    pthread_mutex_lock(&w->lock);
    x->socket = info ? info->connect_fd : -1;
    x->next = w->first;
    x->previous = NULL;
    if (w->first) w->first->previous = x;
    w->first = x;
    x->is_watched = true;
    pthread_mutex_unlock(&w->lock);
    poke(w);
}

void watcher_remove(struct exchange *x)
{
    struct watcher *w = &x->server->watcher;
    if (!x->is_watched) return;
    pthread_mutex_lock(&w->lock);
    if (x->next) x->next->previous = x->previous;
    if (x->previous) x->previous->next = x->next;
    else w->first = x->next;
    x->is_watched = false;
    pthread_mutex_unlock(&w->lock);
}
