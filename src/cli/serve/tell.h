/* What serve prints when it is ready. */
#ifndef CLI_SERVE_TELL_H
#define CLI_SERVE_TELL_H

#include <stdio.h>

#include "cli/serve/options.h"

/* The plan, what was taken without effect, the context, the address. "listening" is the last line:
 * who starts servers waits for it. */
void serve_tell_start(FILE *to, const struct serve_options *o, const pl_plan *plan, uint16_t port);

#endif
