/* What started the server and wants to know how it is: systemd's notification protocol
 * (sd_notify(3), sd_watchdog_enabled(3)), which is a datagram to the socket named by NOTIFY_SOCKET.
 * Where nothing is named, as under launchd or in a shell, all of this does nothing. One thread. */
#ifndef CLI_SERVE_SUPERVISOR_H
#define CLI_SERVE_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

struct supervisor {
    int fd;                     /* connected; -1: nobody asks */
    uint64_t watchdog_ns;       /* within which it wants a sign of life; 0: it does not watch */
    uint64_t next_sign_ns;      /* clock_ns() */
};

void supervisor_open(struct supervisor *s);
void supervisor_close(struct supervisor *s);

/* One line of text for "systemctl status", while the model is loaded. */
void supervisor_status(const struct supervisor *s, const char *text);

/* The server serves: systemctl start returns. The watch begins. */
void supervisor_ready(struct supervisor *s, const char *text);

void supervisor_stopping(const struct supervisor *s);

/* Called at least as often as supervisor_wait_ns says; sends a sign of life if it is time for one
 * and the engine is well. A supervisor that gets none kills and restarts. */
void supervisor_watch(struct supervisor *s, bool is_healthy);

/* Until the next call of supervisor_watch; UINT64_MAX: it need not be called. */
uint64_t supervisor_wait_ns(const struct supervisor *s);

#endif
