/* Every open connection, so that none is ever silent: one that takes too long over its request's
 * head or body, or is kept open for nothing, is closed; and where there are as many as there may
 * be, a new one gets the place of the longest idle one, or an answer of 503.
 *
 *   FRESH --request line--> HEAD --whole head--> BODY --whole body--> BUSY
 *     on accept             connection_head      connection_body      connection_busy
 *                             ^                                         |
 *                             +---- KEPT <------------ answered --------+
 *                                   connection_kept
 *
 * Where all are busy, newcomers are surplus: libmicrohttpd takes MAX_SURPLUS of them, and each is
 * answered 503 but for /health. Closing is a shutdown of the socket; libmicrohttpd sees its end and
 * does the rest, so a socket in the list is never one that was given to somebody else.
 *
 * Threads: libmicrohttpd's, and the watcher's for the sweep; `lock` guards everything. */
#ifndef SERVER_CONNECTIONS_H
#define SERVER_CONNECTIONS_H

#include <stdarg.h>

#include <microhttpd.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct server;
struct strbuf;

enum { MAX_SURPLUS = 32, HEAD_TIMEOUT_S = 30, BODY_TIMEOUT_S = 60, KEPT_TIMEOUT_S = 75 };

enum connection_state { FRESH, HEAD, BODY, BUSY, KEPT };

/* Why one was closed. */
enum connection_end { END_HEAD, END_BODY, END_IDLE, END_ROOM, N_CONNECTION_ENDS };

struct connection {
    struct connection *next, *previous;
    struct MHD_Connection *mhd;
    int socket;
    enum connection_state state;
    uint64_t since_ns;          /* of the state; BODY: of its last piece */
    bool is_cut;                /* shut down by us */
};

struct connections {
    pthread_mutex_t lock;
    bool is_open;
    struct connection *first;   /* the latest first */
    uint32_t n, n_cut, max;
    uint32_t head_timeout_s, body_timeout_s, kept_timeout_s;
    uint64_t n_ended[N_CONNECTION_ENDS];
    uint64_t told_ns;           /* when the limit was last logged; 0: never */
};

bool connections_open(struct server *s);
void connections_close(struct server *s);

MHD_NotifyConnectionCallback connections_handler(void);

/* One request's way. x's connection; libmicrohttpd's thread. */
void connection_head(struct server *s, struct MHD_Connection *c);
void connection_body(struct server *s, struct MHD_Connection *c);
void connection_busy(struct server *s, struct MHD_Connection *c);
void connection_kept(struct server *s, struct MHD_Connection *c);

int connection_socket(struct MHD_Connection *c);    /* -1: not known */

/* There are more connections than there may be: this request is to be refused. */
bool connections_are_too_many(struct server *s);

/* Closes what took too long; the watcher's thread. Whether there is any connection. */
bool connections_sweep(struct server *s);

/* libmicrohttpd says what it finds wrong with a request whose head it cannot understand, and says
 * it twice. Its log tells us before: what is wrong with a Content-Length is answered here, once. */
void connections_log(void *server, const char *format, va_list args);

void connections_metrics(struct server *s, struct strbuf *to);

#endif
