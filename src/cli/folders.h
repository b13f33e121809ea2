/* Where folders are, and making them. */
#ifndef CLI_FOLDERS_H
#define CLI_FOLDERS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/status.h"

/* A folder and all above it that are missing. `path` is changed meanwhile. PL_E_IO with the
 * reason. */
pl_status folders_make(char *path, mode_t mode, pl_err *err);

/* The user's cache of this program: "$XDG_CACHE_HOME/paceline", else "~/.cache/paceline". It need
 * not be there. false: neither is set to a whole path, or it is too long. */
bool folders_cache(char *to, size_t capacity);

#endif
