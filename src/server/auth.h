/* API keys. They may be replaced while the server runs. */
#ifndef SERVER_AUTH_H
#define SERVER_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <microhttpd.h>
#include <pthread.h>

struct keys {
    pthread_mutex_t lock;           /* guards what follows */
    bool is_open;
    char **key;                     /* (n) */
    size_t n;
};

bool keys_open(struct keys *k);
void keys_close(struct keys *k);
bool keys_set(struct keys *k, const char *const *keys, size_t n);   /* false: no memory */

/* Whether the request shows a key, or none is wanted. *number: which one, from 1; 0: none. */
bool keys_allow(struct keys *k, struct MHD_Connection *connection, uint32_t *number);

#endif
