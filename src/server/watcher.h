/* A thread that looks at what libmicrohttpd does not: the sockets of suspended connections, those
 * that linger, and the time that connections take. It cancels the streams of clients that went
 * away, and says when a ping is due. */
#ifndef SERVER_WATCHER_H
#define SERVER_WATCHER_H

#include <stdbool.h>
#include <stdint.h>

#include <pthread.h>

#include "paceline.h"

struct server;
struct exchange;

struct watcher {
    pthread_t thread;
    pthread_mutex_t lock;           /* guards the list; taken before any exchange's lock */
    struct exchange *first;
    bool is_running, is_closing;
};

/* server->bell is open meanwhile. */
pl_status watcher_open(struct server *s, pl_err *err);
void watcher_close(struct server *s);

void watcher_add(struct exchange *x);
void watcher_remove(struct exchange *x);

/* Cancels a reply of the completion with this id, which was asked for with this key: its stream
 * ends within a step. choice -1: all of them. Any thread. */
enum watcher_found { WATCHER_CANCELLED, WATCHER_NO_COMPLETION, WATCHER_NO_CHOICE };
enum watcher_found watcher_cancel(struct server *s, const char *id, uint32_t key_number,
                                  int64_t choice);

void watcher_cancel_all(struct server *s);  /* their streams end within a step, and say why */
void watcher_cut_all(struct server *s);     /* as if all clients had left */

#endif
