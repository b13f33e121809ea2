/* Asks servers for /metrics and /slots, all at once and without waiting for any.
 *
 * One thread. A round asks each server that has no question open; one that does not answer within
 * the time limit has failed that round. */
#ifndef CLI_TOP_FETCH_H
#define CLI_TOP_FETCH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "cli/client.h"
#include "cli/top/server.h"

struct top_fetch;

/* The servers are borrowed, and told what comes. Release with top_fetch_close. */
pl_status top_fetch_open(struct top_fetch **out, struct top_server *servers, size_t n_servers,
                         const struct client *client, pl_err *err);
void top_fetch_close(struct top_fetch *f);      /* NULL is allowed */

void top_fetch_begin(struct top_fetch *f);      /* a round */

/* Waits until something came, a byte can be read from `fd` (-1: none) or the time is up, and tells
 * the servers. True: some server's answer is complete. */
bool top_fetch_wait(struct top_fetch *f, int fd, int timeout_ms);

/* Questions that are open. */
size_t top_fetch_n_open(const struct top_fetch *f);

#endif
