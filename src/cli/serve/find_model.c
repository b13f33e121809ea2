#include "cli/serve/find_model.h"

#include <stdio.h>

#include "cli/models/models.h"
#include "cli/pull/pull.h"

pl_status serve_find_model(struct serve_options *o, pl_err *err)
{
    static char path[MODELS_PATH_MAX];
    struct pull_options pull;
    if (!o->pull) return models_resolve(&o->params.model_path, o->dir, err);
    o->params.model_path = path;
    if (!models_find(o->pull, o->dir, path, err)) return PL_OK;
    if (o->is_offline)
        return pl_fail(err, PL_E_PARAM, "%s is not pulled, and --offline forbids to", o->pull);
    pull_options_default(&pull);
    pull.dir = o->dir;
    pull.to = o->is_quiet ? NULL : stderr;
    if (o->hub_token && !pull_take_token(&pull, o->hub_token))
        return pl_fail(err, PL_E_PARAM,
                       "--hf-token: wanted is a token alone, of up to %d characters",
                       PULL_TOKEN_MAX - 1);
    return pull_model(o->pull, &pull, path, err);
}
