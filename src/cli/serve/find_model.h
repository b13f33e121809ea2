/* Which file serve opens: MODEL and --model name one that is there, --hf-repo and --model-url one
 * that is pulled where it is missing. */
#ifndef CLI_SERVE_FIND_MODEL_H
#define CLI_SERVE_FIND_MODEL_H

#include "base/status.h"
#include "cli/serve/options.h"

/* params.model_path becomes the path of a file, in memory that stays. PL_E_PARAM: it is not there,
 * or --offline forbids to pull it. */
pl_status serve_find_model(struct serve_options *o, pl_err *err);

#endif
