/* What a balancer asks beside /health: HAProxy's agent check. Whoever connects is told one line,
 * and the connection is closed: how much of its usual share of requests this server can take, and
 * how many at a time.
 *
 *   up ready 100% maxconn:26      of twenty slots
 *   up ready 50% maxconn:26       it has twice as many requests, from others
 *   drain                         it is being stopped: what runs goes on, nothing new comes
 *   down #loading                 it has no model yet, or its engine makes no progress
 *
 * Threads: one of its own. Opened and closed by the server's. */
#ifndef SERVER_AGENT_H
#define SERVER_AGENT_H

#include <pthread.h>
#include <stddef.h>

#include "paceline.h"
#include "server/bell.h"

struct server;

/* Enough for a line, its newline and a zero. */
enum { AGENT_LINE_BYTES = 64 };

struct agent {
    int listener;               /* where has_thread */
    struct bell bell;           /* calls the thread to its end */
    pthread_t thread;
    bool has_thread;
};

/* Listens on the address, "127.0.0.1"; port 0: there is no agent, and nothing is done. */
pl_status agent_open(struct server *s, const char *host, uint16_t port, pl_err *err);

/* Also of an agent that is not open. */
void agent_close(struct agent *a);

/* The line of this moment. Any thread. */
void agent_line(struct server *s, char out[AGENT_LINE_BYTES]);

#endif
