/* Threads that parse, render and tokenize long bodies, so that libmicrohttpd's thread goes on
 * sending tokens. An exchange is suspended before it is on the list and resumed when its route has
 * run: libmicrohttpd cannot end it in between. */
#ifndef SERVER_PREPARE_H
#define SERVER_PREPARE_H

#include <stdbool.h>
#include <stdint.h>

#include <pthread.h>

#include "paceline.h"

struct server;
struct exchange;

enum { N_PREPARING_THREADS = 2 };

struct preparer {
    pthread_t thread[N_PREPARING_THREADS];
    uint32_t n_threads;
    pthread_mutex_t lock;           /* guards what follows */
    pthread_cond_t changed;
    struct exchange *first, *last;
    bool is_open, is_closing;
};

pl_status preparer_open(struct server *s, pl_err *err);
bool preparer_take(struct exchange *x);     /* suspends; false: stopped, not taken */
void preparer_stop(struct server *s);       /* what waits is prepared first */
void preparer_close(struct server *s);

#endif
