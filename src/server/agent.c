#include "server/agent.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/status.h"
#include "server/state.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0              /* macOS: who serves ignores SIGPIPE */
#endif

/* A slot that becomes free finds its next request here, so that it is not idle while the balancer
 * hears of it; a longer queue is the balancer's, who has other servers. */
enum { SLOTS_FOR_ONE_WAITING = 4 };

/* Of more requests than it wants, which others sent: what it could do of them, a tenth at a time,
 * so that it does not change with each. Else all: who balances by hash sends a conversation
 * elsewhere when it changes. */
static unsigned share_percent(uint32_t most, uint64_t n_requests)
{
    if (n_requests <= most) return 100;
    const unsigned tenths = (unsigned)(10 * (uint64_t)most / n_requests);
    return tenths ? 10 * tenths : 1;
}

void agent_line(struct server *s, char out[AGENT_LINE_BYTES])
{
    pl_engine *engine = atomic_load_explicit(&s->engine, memory_order_acquire);
    if (atomic_load(&s->is_draining)) {
        strcpy(out, "drain\n");
        return;
    }
    if (!engine || !pl_is_healthy(engine)) {
        strcpy(out, engine ? "down #stuck\n" : "down #loading\n");
        return;
    }
    const uint32_t n_streams = pl_engine_plan(engine)->n_streams;
    const uint32_t most = n_streams + n_streams / SLOTS_FOR_ONE_WAITING + 1;
    pl_stats now;
    pl_stats_read(engine, &now);
    snprintf(out, AGENT_LINE_BYTES, "up ready %u%% maxconn:%u\n",
             share_percent(most, (uint64_t)now.n_running + now.n_queued), most);
}

/* Nothing that the client does is waited for: the line fits any socket's buffer. */
static void answer(struct server *s, int client)
{
    char line[AGENT_LINE_BYTES];
    agent_line(s, line);
    send(client, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL);
    close(client);
}

static void *run(void *arg)
{
    struct server *s = arg;
    const struct agent *a = &s->agent;
    struct pollfd look[] = { { .fd = a->bell.end[0], .events = POLLIN },
                             { .fd = a->listener, .events = POLLIN } };
    for (;;) {
        poll(look, 2, -1);
        if (look[0].revents) return NULL;
        const int client = look[1].revents ? accept(a->listener, NULL, NULL) : -1;
        if (client >= 0) answer(s, client);
    }
}

static int listen_on(const struct addrinfo *address)
{
    const int on = 1;
    const int listener = socket(address->ai_family, SOCK_STREAM, 0);
    if (listener < 0) return -1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (!bind(listener, address->ai_addr, address->ai_addrlen) && !listen(listener, 64))
        return listener;
    const int why = errno;
    close(listener);
    errno = why;
    return -1;
}

pl_status agent_open(struct server *s, const char *host, uint16_t port, pl_err *err)
{
    struct agent *a = &s->agent;
    const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
                                    .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
    struct addrinfo *address;
    char service[8];
    if (!port) return PL_OK;
    snprintf(service, sizeof service, "%u", port);
    const char *where = host ? host : "127.0.0.1";
    const int code = getaddrinfo(where, service, &hints, &address);
    if (code)
        return pl_fail(err, PL_E_PARAM, "--agent-host %s: %s", where, gai_strerror(code));
    a->listener = listen_on(address);
    freeaddrinfo(address);
    if (a->listener < 0)
        return pl_fail(err, PL_E_IO, "--agent-port: cannot listen on %s port %u: %s", where, port,
                       strerror(errno));
    pl_status st = bell_open(&a->bell, err);
    if (!st && pthread_create(&a->thread, NULL, run, s))
        st = pl_fail(err, PL_E_MEMORY, "no thread for --agent-port");
    a->has_thread = !st;
    if (st) close(a->listener);
    return st;
}

void agent_close(struct agent *a)
{
    if (a->has_thread) {
        bell_ring(&a->bell);
        pthread_join(a->thread, NULL);
        close(a->listener);
    }
    a->has_thread = false;
    bell_close(&a->bell);
}
