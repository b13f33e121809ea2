#include "server/watcher.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/status.h"
#include "server/completion.h"
#include "server/embedding.h"
#include "server/state.h"

enum { POLL_MS = 500, SWEEP_MS = 1000 };

#ifndef POLLRDHUP
#define POLLRDHUP 0
#endif

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
    wake_ping(&x->wake);
}

/* Fills the list to poll; returns how many, or -1 without memory. */
static int list_sockets(struct server *s, struct pollfd **list, int *capacity)
{
    struct watcher *w = &s->watcher;
    int n = 1 + MAX_LINGERING;
    for (struct exchange *x = w->first; x; x = x->next) n++;
    if (n > *capacity) {
        struct pollfd *grown = realloc(*list, (size_t)n * 2 * sizeof *grown);
        if (!grown) return -1;
        *list = grown;
        *capacity = n * 2;
    }
    n = 0;
    (*list)[n++] = (struct pollfd){ .fd = s->bell.end[0], .events = POLLIN };
    for (struct exchange *x = w->first; x; x = x->next)
        (*list)[n++] = (struct pollfd){
            .fd = wake_is_gone(&x->wake) ? -1 : x->socket,
            .events = x->has_stray_bytes ? POLLRDHUP : POLLIN | POLLRDHUP,
        };
    return n + linger_list(&s->linger, *list + n);
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

static void cancel(struct exchange *x)
{
    if (x->completion) completion_cancel(x->completion);
    if (!x->embedding) return;
    embedding_cancel(x->embedding);
    wake_up(&x->wake);          /* its streams tell nobody: they are closed by who waits for them */
}

/* The client left: its streams are cancelled, and what waits for them is told. Under the lock. */
static void mark_gone(struct exchange *x)
{
    if (!wake_mark_gone(&x->wake)) return;
    cancel(x);
    wake_up(&x->wake);
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
            if (poll(&now, 1, 0) == 1 && is_gone(x, now.revents)) mark_gone(x);
        }
        ping_if_due(x);
    }
}

static void *watch(void *arg)
{
    struct server *s = arg;
    struct watcher *w = &s->watcher;
    struct pollfd *list = NULL;
    int capacity = 0;

    pthread_mutex_lock(&w->lock);
    while (!w->is_closing) {
        const int n = list_sockets(s, &list, &capacity);
        const bool has_any = w->first != NULL;
        pthread_mutex_unlock(&w->lock);
        const int wait_ms = has_any ? POLL_MS : connections_sweep(s) ? SWEEP_MS : -1;
        if (n > 0 && poll(list, (nfds_t)n, wait_ms) > 0 && list[0].revents) bell_hush(&s->bell);
        connections_sweep(s);
        linger_read(&s->linger);
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
    pthread_mutex_init(&w->lock, NULL);
    const int code = pthread_create(&w->thread, NULL, watch, s);
    if (code) return pl_fail(err, PL_E_MEMORY, "cannot start a thread: %s", strerror(code));
    w->is_running = true;
    return PL_OK;
}

void watcher_close(struct server *s)
{
    struct watcher *w = &s->watcher;
    if (!w->is_running) return;
    pthread_mutex_lock(&w->lock);
    w->is_closing = true;
    pthread_mutex_unlock(&w->lock);
    bell_ring(&s->bell);
    pthread_join(w->thread, NULL);
    pthread_mutex_destroy(&w->lock);
    w->is_running = false;
}

void watcher_add(struct exchange *x)
{
    struct watcher *w = &x->server->watcher;
    pthread_mutex_lock(&w->lock);
    x->socket = connection_socket(x->connection);
    x->next = w->first;
    x->previous = NULL;
    if (w->first) w->first->previous = x;
    w->first = x;
    x->is_watched = true;
    pthread_mutex_unlock(&w->lock);
    bell_ring(&x->server->bell);
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

static enum watcher_found cancel_choice(struct completion *c, int64_t choice)
{
    if (choice >= c->n_choices) return WATCHER_NO_CHOICE;
    for (uint32_t i = 0; i < c->n_choices; i++)
        if (choice < 0 || choice == i) completion_cancel_choice(c, i);
    return WATCHER_CANCELLED;
}

enum watcher_found watcher_cancel(struct server *s, const char *id, uint32_t key_number,
                                  int64_t choice)
{
    enum watcher_found found = WATCHER_NO_COMPLETION;
    pthread_mutex_lock(&s->watcher.lock);
    for (struct exchange *x = s->watcher.first; x && found == WATCHER_NO_COMPLETION; x = x->next)
        if (x->completion && x->key_number == key_number && !strcmp(x->completion->id, id))
            found = cancel_choice(x->completion, choice);
    pthread_mutex_unlock(&s->watcher.lock);
    return found;
}

void watcher_cancel_all(struct server *s)
{
    pthread_mutex_lock(&s->watcher.lock);
    for (struct exchange *x = s->watcher.first; x; x = x->next) cancel(x);
    pthread_mutex_unlock(&s->watcher.lock);
}

void watcher_cut_all(struct server *s)
{
    pthread_mutex_lock(&s->watcher.lock);
    for (struct exchange *x = s->watcher.first; x; x = x->next) mark_gone(x);
    pthread_mutex_unlock(&s->watcher.lock);
}
