#include "cli/folders.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

pl_status folders_make(char *path, mode_t mode, pl_err *err)
{
    for (char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash) *slash = 0;
        const bool is_made = mkdir(path, mode) == 0 || errno == EEXIST || errno == EISDIR;
        const int why = errno;
        if (slash && (is_made || why == EROFS || why == EACCES)) {      /* may be there already */
            *slash = '/';
            continue;
        }
        if (!is_made)
            return pl_fail(err, PL_E_IO, "%s: cannot make this folder: %s", path, strerror(why));
        if (!slash) return PL_OK;
    }
}
