/* Files that a service needs, held against what its unit will let it see. A unit that cannot work
 * is refused when it is written: later it would only restart for ever. */
#ifndef CLI_SERVICE_SANDBOX_H
#define CLI_SERVICE_SANDBOX_H

#include <stdbool.h>

#include "base/status.h"
#include "cli/service/words.h"

struct sandbox {
    const char *service;        /* its name */
    bool is_user;               /* of a user's session: no tmp of its own, the user's rights */
    bool is_launchd;            /* hides nothing */
    bool is_elsewhere;          /* of another machine, or below --root: what is missing is only
                                 * said */
};

/* The model, the template, the key file and the program are there and seen; folders that are
 * written to can be. PL_E_PARAM with what to change. */
pl_status sandbox_check(const struct sandbox *s, const struct service_words *w, const char *program,
                        pl_err *err);

#endif
