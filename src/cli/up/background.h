/* A server in the background, known by a name: started, found again and stopped by its own process
 * id, which counts only while that process holds the lock of its file.
 *
 * Files of a name, in $XDG_STATE_HOME/paceline or ~/.local/state/paceline: NAME.run (locked by the
 * server as long as it lives; its process id and address) and NAME.log. */
#ifndef CLI_UP_BACKGROUND_H
#define CLI_UP_BACKGROUND_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/status.h"

struct background {
    char run_file[PATH_MAX], log_file[PATH_MAX];
    pid_t pid;                  /* 0: it does not run */
    char address[256];          /* "http://127.0.0.1:8080"; empty: it has not said so yet */
};

/* Looks whether a server of this name runs. */
pl_status background_find(struct background *b, const char *name, pl_err *err);

/* Starts argv (its first word an absolute path) with its output in the log, apart from this
 * terminal. Returns at once; PL_E_BUSY where one of the name runs. */
pl_status background_start(struct background *b, const char *const *argv, pl_err *err);

/* Waits until it says that it listens, which it does when it is ready; PL_E_IO with the end of its
 * log where it ended instead, PL_E_BUSY after timeout_s. */
pl_status background_wait(struct background *b, unsigned timeout_s, pl_err *err);

/* SIGTERM, then waits until it has ended; PL_E_BUSY after timeout_s, and it still runs. */
pl_status background_stop(struct background *b, unsigned timeout_s, pl_err *err);

#endif
