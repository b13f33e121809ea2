/* Making folders. */
#ifndef CLI_FOLDERS_H
#define CLI_FOLDERS_H

#include <sys/types.h>

#include "base/status.h"

/* A folder and all above it that are missing. `path` is changed meanwhile. PL_E_IO with the reason. */
pl_status folders_make(char *path, mode_t mode, pl_err *err);

#endif
