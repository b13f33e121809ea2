/* Sockets of refused requests whose bodies are still coming. An answer given before the body was
 * read would be lost if the socket were closed then: the system resets a connection whose bytes
 * nobody took, and the client never sees why. So a second descriptor of it is kept, and what comes
 * is read and dropped, for a while and within a bound.
 *
 * Threads: linger_add any, the rest the watcher's. */
#ifndef SERVER_LINGER_H
#define SERVER_LINGER_H

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/bell.h"

enum { MAX_LINGERING = 32 };

struct lingering {
    int fd;                     /* -1: free */
    uint64_t until_ns;
    uint64_t n_left;            /* bytes that are dropped yet */
};

struct linger_set {
    pthread_mutex_t lock;
    bool is_open;
    const struct bell *bell;    /* rung for whoever reads */
    struct lingering of[MAX_LINGERING];
};

bool linger_open(struct linger_set *set, const struct bell *bell);
void linger_close(struct linger_set *set);

/* The socket's owner may close it as it likes. Where there are too many already: nothing. */
void linger_add(struct linger_set *set, int socket);

/* At most MAX_LINGERING entries to poll; how many there are. */
int linger_list(struct linger_set *set, struct pollfd *list);

/* Takes what came on all of them. */
void linger_read(struct linger_set *set);

#endif
